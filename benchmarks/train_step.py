"""Our training step beside those of diffusers and FlaxDiff, and the machine's float32 matrix product.

    python benchmarks/train_step.py [--width=768 --depth=4 --tokens=256 --text_tokens=32 --batch=8] [--rounds=10]
        [--flaxdiff_python=FOLDER/bin/python] [--config=configs/emoji.py] [--only=dfjax,product] [--json=step.json]

Each implementation runs in a process of its own (benchmarks/train_steps/) and keeps still while another one works: in
each round all take their turn, so that a neighbour's load meets them alike. What is compared are times of the same
round: the tables have medians over rounds. The first is by time on the wall; the second by processor time, over all
cores, which a neighbour disturbs less, but where threads that wait by spinning count as if they worked. The same work
is asked of all: float32, forward and backward pass, clipping of gradients, AdamW, and an average of the weights.
Operations are those of a formula (dfjax/models/flops.py); what is computed a second time, norms and the optimizer count
as nothing. The peak is the fastest library's matrix product.

diffusers comes with pip install 'dfjax[parity]', and its compiled form needs a C++ compiler. FlaxDiff wants an
environment of its own: python -m venv FOLDER && FOLDER/bin/pip install flaxdiff==0.2.11 jax==0.10.2 matplotlib.

``--parts`` adds a step's attention, its linear layers and its optimizer alone (benchmarks/train_steps/parts.py), to see
where the time goes.

``--config`` times our step of a recipe instead, on synthetic data and without the others, whose sizes are not its.
"""

import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

from absl import app, flags
from ml_collections import config_flags

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError

_WIDTH = flags.DEFINE_integer("width", 768, "channels", lower_bound=8)
_DEPTH = flags.DEFINE_integer("depth", 4, "layers", lower_bound=1)
_HEADS = flags.DEFINE_integer("heads", 0, "attention heads; 0: of 64 channels each", lower_bound=0)
_TOKENS = flags.DEFINE_integer("tokens", 256, "image tokens, a square", lower_bound=1)
_TEXT_TOKENS = flags.DEFINE_integer("text_tokens", 32, "text tokens", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch", 8, "examples of a step", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "times that each takes its turn", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 1, "steps of a turn", lower_bound=1)
_ONLY = flags.DEFINE_list(
    "only", ["dfjax", "diffusers", "flaxdiff", "product"], "what to run, by the names' beginnings"
)
_FLAXDIFF_PYTHON = flags.DEFINE_string("flaxdiff_python", "", "python of an environment with FlaxDiff")
_PARTS = flags.DEFINE_bool("parts", False, "also time parts of the step alone, in JAX and in PyTorch")
_CONFIG = config_flags.DEFINE_config_file("config", None, "a recipe whose step to time, alone")
_JSON = flags.DEFINE_string("json", "", "also write all times to this file")

_FOLDER = pathlib.Path(__file__).parent / "train_steps"
# A product takes tens of milliseconds.
_PRODUCTS = 5
PARTS = ("attention", "linear", "optimizer")
CLOCKS = ("wall", "processor")
EAGER, COMPILED = "diffusers eager", "diffusers compiled"


@dataclasses.dataclass(frozen=True)
class Child:
    """How to start an implementation, how many steps are its turn, and how to get it."""

    name: str
    command: Sequence[str]
    steps: int
    remedy: str


def children(sizes: Mapping[str, int]) -> list[Child]:
    """All that is asked for, in the table's order."""
    own, written, peers = [sys.executable], [], True
    if _CONFIG.value is not None:
        written, peers = [config_lib.resolve(_CONFIG.value.to_dict()).to_json()], False
    theirs, flaxdiff = "pip install 'dfjax[parity]'", "see --help, and give --flaxdiff_python=FOLDER/bin/python"
    every = [
        ("dfjax", own, "ours.py", written, _STEPS.value, "pip install -e ."),
        (EAGER, own, "diffusers_sd3.py", ["eager"], _STEPS.value, theirs),
        (COMPILED, own, "diffusers_sd3.py", ["compiled"], _STEPS.value, theirs + ", and a C++ compiler such as g++"),
        ("flaxdiff", [_FLAXDIFF_PYTHON.value or sys.executable], "flaxdiff_mmdit.py", [], _STEPS.value, flaxdiff),
        *(
            (f"product {library}", own, "product.py", [library], _PRODUCTS, theirs)
            for library in ("jax", "numpy", "torch")
        ),
    ]
    if _PARTS.value:
        every += [
            (f"{part} {library}", own, "parts.py", [library, part], _STEPS.value, theirs)
            for part in PARTS
            for library in ("jax", "torch")
        ]
    told = json.dumps(sizes)
    return [
        Child(name, [*python, str(_FOLDER / script), told, *words], steps, remedy)
        for name, python, script, words, steps, remedy in every
        if name.startswith((*_ONLY.value, *PARTS)) and (peers or name.startswith(("dfjax", "product")))
    ]


class Running:
    """A child's process, compiled and warm.

    Raises:
      DfjaxError: it cannot run; says how to get what it lacks.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        try:
            self._process = subprocess.Popen(
                child.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        except OSError as error:
            raise DfjaxError(f"{child.name} does not start: {error}; {child.remedy}") from error
        told = json.loads(self._process.stdout.readline() or '{"error": "its process has ended"}')
        if "error" in told:
            self.close()
            raise DfjaxError(f"{child.name} does not run: {told['error']}; {child.remedy}")
        self.flops, self.parameters, self.versions = told["flops"], told["parameters"], told["versions"]

    def turn(self) -> dict[str, float]:
        """Seconds of a step, over a turn, by each of ``CLOCKS``."""
        self._process.stdin.write(f"{self.child.steps}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise DfjaxError(f"{self.child.name} ended in the middle, with status {self._process.wait()}")
        return {clock: float(word) / self.child.steps for clock, word in zip(CLOCKS, answer.split(), strict=True)}

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def measure(wanted: Sequence[Child], rounds: int) -> dict[str, dict]:
    """By name: what each told of itself, and its seconds of a step in each round, by clock."""
    running: list[Running] = []
    try:
        for child in wanted:
            try:
                running.append(Running(child))
            except DfjaxError as error:
                if child.name == "dfjax":
                    raise
                print(f"skipped: {error}", file=sys.stderr)
        results = {
            one.child.name: {
                "parameters": one.parameters,
                "flops": one.flops,
                "versions": one.versions,
                "seconds": {clock: [] for clock in CLOCKS},
            }
            for one in running
        }
        for number in range(rounds):
            # Now from the first on, now from the last.
            for one in running if number % 2 else running[::-1]:
                for clock, seconds in one.turn().items():
                    results[one.child.name]["seconds"][clock].append(seconds)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    finally:
        for one in running:
            one.close()
    return results


def table(results: Mapping[str, Mapping], clock: str) -> list[dict]:
    """A row for each implementation, by one of ``CLOCKS``.

    ``peak_share``: of the fastest product's rate in the same round. ``speed``: the time of PyTorch's best step in the
    same round over the row's. Both None where there is nothing to compare with.
    """
    times = {name: result["seconds"][clock] for name, result in results.items()}
    rates = {name: result["flops"] / statistics.median(times[name]) for name, result in results.items()}
    peak = max((name for name in results if name.startswith("product")), key=lambda name: rates[name], default=None)
    torch = min(
        (name for name in (EAGER, COMPILED) if name in results),
        key=lambda name: statistics.median(times[name]),
        default=None,
    )

    def times_faster(name: str, than: str) -> float:
        return statistics.median(a / b for a, b in zip(times[than], times[name], strict=True))

    return [
        {
            "name": name,
            "parameters": result["parameters"],
            "gflop_per_step": result["flops"] / 1e9,
            "milliseconds": 1e3 * statistics.median(times[name]),
            "gflops": rates[name] / 1e9,
            "peak_share": peak and times_faster(name, peak) * result["flops"] / results[peak]["flops"],
            "speed": times_faster(name, torch) if torch and result["parameters"] else None,
        }
        for name, result in results.items()
    ]


def show(rows: Sequence[Mapping], clock: str) -> None:
    heads = ("parameters", 12), ("Gflop/step", 12), ("ms/step", 10), ("Gflop/s", 10), ("of peak", 9), ("speed", 8)
    print(f"{'by ' + clock:20s}" + "".join(f"{head:>{wide}s}" for head, wide in heads))
    for row in rows:
        share, speed = (f"{row[key]:.2f}" if row[key] else "" for key in ("peak_share", "speed"))
        print(
            f"{row['name']:20s}{row['parameters'] or '':>12}{row['gflop_per_step']:12.1f}{row['milliseconds']:10.1f}"
            f"{row['gflops']:10.1f}{share:>9s}{speed:>8s}"
        )


def main(_: list[str]) -> None:
    width, heads = _WIDTH.value, _HEADS.value or max(1, _WIDTH.value // 64)
    if math.isqrt(_TOKENS.value) ** 2 != _TOKENS.value:
        near = round(math.sqrt(_TOKENS.value)) ** 2
        raise app.UsageError(f"--tokens={_TOKENS.value} is no square; try --tokens={near}")
    if width % (4 * heads):
        raise app.UsageError(f"--width={width} over {heads} heads must be a multiple of 4; choose another --heads")
    sizes = {"width": width, "depth": _DEPTH.value, "heads": heads, "tokens": _TOKENS.value}
    sizes |= {"text_tokens": _TEXT_TOKENS.value, "batch": _BATCH.value}
    try:
        results = measure(children(sizes), _ROUNDS.value)
    except DfjaxError as error:
        sys.exit(f"error: {error}")
    if _CONFIG.value is None:
        print(", ".join(f"{name} {value}" for name, value in sizes.items()))
    versions = (version for result in results.values() for version in result["versions"].split(", "))
    print(", ".join(filter(None, dict.fromkeys(versions))))
    tables = {clock: table(results, clock) for clock in CLOCKS}
    for clock, rows in tables.items():
        show(rows, clock)
    print("of peak: share of the fastest product's rate; speed: PyTorch's best is 1")
    if _JSON.value:
        with open(_JSON.value, "w") as file:
            json.dump({"sizes": sizes, "tables": tables, "runs": results}, file, indent=1)


if __name__ == "__main__":
    app.run(main)
