"""What a step takes of each device's memory: the state by the shardings, the rest by the compiler."""

import dataclasses
import math
from typing import Any

import jax

from dfjax.plan.build import Built
from dfjax.training.state import TrainState

KINDS = ("params", "optimizer", "ema", "averages")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device; every device has as many.

    Attributes:
      state: for each of ``KINDS``, from shapes and shardings.
      arguments: state and batch, as they lie in memory, with the padding of their tiles. working: what the program
        needs besides at its peak, gathered weights, activations and gradients. program: its instructions. These three
        are the compiler's, and None where it refused the program.
      peak: all that the program needs at once. The state is donated, so that the new one lies where the old one did.
    """

    state: dict[str, int]
    arguments: int | None
    working: int | None
    program: int | None
    peak: int


def measure(built: Built) -> Memory:
    """The memory of a compiled step, or what the compiler said of it as it refused it."""
    state = state_bytes(built.traced.state)
    if built.compiled is None:
        assert built.needed_bytes is not None
        return Memory(state, None, None, None, built.needed_bytes)
    found: Any = built.compiled.memory_analysis()
    not_donated = found.output_size_in_bytes - found.alias_size_in_bytes
    working = found.temp_size_in_bytes + not_donated
    program = found.generated_code_size_in_bytes
    peak = found.argument_size_in_bytes + working + program
    return Memory(state, found.argument_size_in_bytes, working, program, peak)


def state_bytes(state: TrainState) -> dict[str, int]:
    """Bytes of the state on one device by kind; the leaves have shapes, types and shardings."""
    return {kind: sum(map(_bytes, jax.tree.leaves(getattr(state, kind)))) for kind in KINDS}


def _bytes(leaf: Any) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
