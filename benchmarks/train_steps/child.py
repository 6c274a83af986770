"""One implementation in a process of its own: asked for a number of steps, it answers how long they took.

A child is called with the sizes as JSON. Its first line on standard output tells what it runs, as JSON; then each line
of standard input is a number of steps, answered by seconds on the wall and seconds of the processor, over all threads.
It ends with its input. Only the standard library is imported here: a child may run in another project's environment.
"""

import dataclasses
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence

# Channels and patch of the latents, channels of the text's features.
LATENT, PATCH, FEATURES = 16, 2, 1024


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes that all implementations share; tokens are those of the image."""

    width: int
    depth: int
    heads: int
    tokens: int
    text_tokens: int
    batch: int

    @property
    def side(self) -> int:
        """Of the latents whose patches are the tokens."""
        return PATCH * math.isqrt(self.tokens)


@dataclasses.dataclass(frozen=True)
class Work:
    """What a child runs.

    Attributes:
      run: runs a number of steps and returns when they are done. flops: model operations of one step.
      parameters: how many are trained; 0 where it is no step. versions: of the libraries, unless another child tells.
    """

    run: Callable[[int], None]
    flops: float
    parameters: int
    versions: str


def serve(make: Callable[..., Work]) -> None:
    """Answers questions about ``make(sizes, *further words of the command line)`` until there are no more."""
    # Libraries print; the parent must read none of it.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        work = make(Sizes(**json.loads(sys.argv[1])), *sys.argv[2:])
        # The second time nothing is compiled and memory has been touched.
        work.run(1)
        work.run(1)
    except Exception as error:
        if not isinstance(error, ImportError):
            traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        sys.exit(1)
    told = {name: getattr(work, name) for name in ("flops", "parameters", "versions")}
    print(json.dumps(told), file=answers)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        work.run(int(line))
        print(time.perf_counter() - wall, time.process_time() - processor, file=answers)


def matrices(layers: dict[str, int], rows: Sequence[tuple[str, int, int]]) -> float:
    """Operations of one example's step in matrix layers, forward and backward.

    Args:
      layers: size of each layer's matrix, by name. rows: a part of the name, how many of an example's tokens meet such
        a layer, and operations for each of them and each parameter (6; 4 where the input is data). The first row counts
        whose part is in the name.
    """
    total = 0.0
    for name, size in layers.items():
        tokens, operations = next((tokens, operations) for part, tokens, operations in rows if part in name)
        total += tokens * operations * size
    return total


def attention(sizes: Sizes, tokens: int) -> float:
    """Operations of one example's step in the two products of attention, forward and backward."""
    return 12.0 * sizes.width * sizes.depth * tokens**2
