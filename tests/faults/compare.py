"""Whether two runs ended in the same state: bit for bit, and with the same said of the way there."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np

from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import ARRAYS, AVERAGES, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees

# What of a checkpoint's metadata depends on time and machine.
_OF_THE_DAY = ("train_seconds",)
# What of metrics.jsonl does not.
_NUMBERS = (
    *("train/loss", "train/grad_norm", "train/param_norm", "validation/"),
    *("data/bad_records", "train/skipped_steps", "train/rollbacks"),
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """``names`` of what is not the same, and the largest difference between two numbers of arrays (0: none)."""

    names: tuple[str, ...]
    largest: float


@dataclasses.dataclass(frozen=True)
class State:
    """All that a finished run left: arrays by name, and other things (JSON or bytes) by name."""

    arrays: dict[str, np.ndarray]
    others: dict[str, Any]


def read(workdir: pathlib.Path) -> State:
    """The newest checkpoint with averages and metadata, all snapshots, metrics, samples, what was bad or skipped."""
    room = Workdir(workdir)
    arrays: dict[str, np.ndarray] = {}
    with Checkpoints(room.checkpoints) as checkpoints:
        newest = checkpoints.steps()[-1]
        shapes = {item: checkpoints.array_shapes(newest, item) for item in (*ARRAYS, AVERAGES)}
        arrays |= _named(checkpoints.arrays(newest, _on_one_device(shapes)))
        meta = {key: value for key, value in checkpoints.meta(newest).items() if key not in _OF_THE_DAY}
        others: dict[str, Any] = {f"meta/{key}": value for key, value in meta.items()}
        others["tokenizer"] = checkpoints.tokenizer(newest)
    with Snapshots(room.snapshots) as snapshots:
        for step in snapshots.steps():
            found = snapshots.read(step, _on_one_device(snapshots.lengths(step)))
            arrays |= _named({f"snapshot {step}": found})
    others["metrics"] = _metrics(room.metrics)
    for path in (room.bad_records, room.skipped_steps, room.rollbacks):
        others[path.stem] = _lines(path) if path.exists() else []
    for picture in sorted((workdir / "samples").glob("*.png")):
        others[f"samples/{picture.name}"] = picture.read_bytes()
    return State(arrays, others)


def without_means(state: State) -> State:
    """The same, of whose metrics only validation is kept: a run that is told to end writes its means then, too."""
    lines = [line for line in state.others["metrics"] if any(name.startswith("validation/") for name in line)]
    return State(state.arrays, state.others | {"metrics": lines})


def in_both(wanted: State, found: State) -> tuple[State, State]:
    """The same, less snapshots and sample grids that one of them lacks: what a storage that fails may cost a run."""

    def is_kept(name: str) -> bool:
        optional = name.startswith(("snapshot ", "samples/"))
        return not optional or all(name in state.arrays or name in state.others for state in (wanted, found))

    def kept(state: State) -> State:
        arrays = {name: array for name, array in state.arrays.items() if is_kept(name)}
        return State(arrays, {name: other for name, other in state.others.items() if is_kept(name)})

    return kept(wanted), kept(found)


def difference(wanted: State, found: State) -> Difference:
    """What is missing, too much, or other than wanted by a single bit."""
    names = [name for name in wanted.others | found.others if wanted.others.get(name) != found.others.get(name)]
    largest = 0.0
    for name in wanted.arrays | found.arrays:
        one, other = wanted.arrays.get(name), found.arrays.get(name)
        if one is None or other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
            names.append(name)
            largest = float("inf")
        elif one.tobytes() != other.tobytes():
            names.append(name)
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
            largest = max(largest, float(np.nan_to_num(apart, nan=np.inf).max()))
    return Difference(tuple(names), largest)


def _named(tree: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in trees.named_leaves(tree).items()}


def _on_one_device(shapes: Any) -> Any:
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)


def _metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` in order, of which only numbers that do not depend on time are kept."""
    kept = [
        {key: value for key, value in line.items() if key == "step" or key.startswith(_NUMBERS)}
        for line in _lines(path)
    ]
    return [line for line in kept if len(line) > 1]


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    # NaN is a word here, since it is to equal itself.
    return [json.loads(line, parse_constant=str) for line in path.read_text().splitlines()]
