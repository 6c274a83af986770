"""What the checkpoints of a run are, whether they are whole, and taking some away."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from dfjax.checkpoint import checksums
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees

_COMMITTED = "_CHECKPOINT_METADATA"


class GoneError(CheckpointError):
    """A checkpoint that a run took away while it was looked at."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A checkpoint at a glance: bytes on disk, when it was committed (Unix seconds; 0: unknown), what it lacks."""

    step: int
    path: str
    bytes: int
    committed: float
    missing: list[str]
    checksums: bool


def entries(workdir: Workdir) -> list[Entry]:
    """All checkpoints of a run by step, as their folders say; no array is read."""
    found = []
    for step in workdir.steps():
        folder = workdir.checkpoints / f"step_{step}"
        entry = Entry(
            step, str(folder), _size(folder), _committed(folder), workdir.incomplete(step), checksums.exist(folder)
        )
        # A run that is at work takes older ones away.
        if folder.exists():
            found.append(entry)
    return found


def _size(folder: Path) -> int:
    """Bytes of all files. What a run takes away meanwhile counts as nothing."""
    size = 0
    # The walk itself fails where a folder on its way is gone.
    with contextlib.suppress(FileNotFoundError):
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                size += path.lstat().st_size if path.is_file() else 0
    return size


def _committed(folder: Path) -> float:
    try:
        return json.loads((folder / _COMMITTED).read_bytes())["commit_timestamp_nsecs"] / 1e9
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def choose(workdir: Workdir, step: int | None) -> int:
    """``step``, or the newest. Raises CheckpointError if it is not there."""
    steps = require(workdir)
    if step is not None and step not in steps:
        raise CheckpointError(f"{workdir.path} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
    return steps[-1] if step is None else step


def require(workdir: Workdir) -> list[int]:
    """All steps that have a folder, damaged ones among them. Raises CheckpointError if there are none."""
    if steps := workdir.steps():
        return steps
    raise CheckpointError(f"{workdir.path} has no checkpoint: `dfjax train --workdir={workdir.path}` makes them")


def describe(workdir: Workdir, step: int) -> dict[str, Any]:
    """What the checkpoint of ``step`` says of itself, and the arrays of each item by name. Raises CheckpointError."""
    with Checkpoints(workdir.checkpoints) as checkpoints:
        meta = checkpoints.meta(step)
        items = {}
        for item in checkpoints.items:
            if (workdir.checkpoints / f"step_{step}" / item).exists():
                leaves = trees.named_leaves(checkpoints.array_shapes(step, item))
                items[item] = {name: {"shape": leaf.shape, "dtype": str(leaf.dtype)} for name, leaf in leaves.items()}
        return {"step": step, "path": str(workdir.checkpoints / f"step_{step}"), "meta": meta, "items": items}


def verify(workdir: Workdir, step: int) -> list[checksums.Fault] | None:
    """All files of a step that are not as they were saved; None where it never had checksums and lacks nothing.

    Raises:
      GoneError: the checkpoint was deleted meanwhile.
    """
    try:
        with Checkpoints(workdir.checkpoints) as checkpoints:
            faults = checkpoints.verify(step)
    except CheckpointError:
        _check_there(workdir, step)
        raise
    lacks = [checksums.Fault(name, "missing") for name in workdir.incomplete(step)]
    _check_there(workdir, step)
    known = {fault.file for fault in faults or ()}
    if faults is None:
        return lacks or None
    # A folder that is gone as a whole is told by its files.
    return faults + [each for each in lacks if not any(name.split("/")[0] == each.file for name in known)]


def _check_there(workdir: Workdir, step: int) -> None:
    if not (workdir.checkpoints / f"step_{step}").exists():
        raise GoneError(f"the checkpoint of step {step} was deleted while it was read")


def prune(workdir: Workdir, keep_last: int, keep_every: int = 0, *, dry_run: bool = False) -> list[int]:
    """Delete checkpoints but the ``keep_last`` (>= 1) newest whole ones, and those at multiples of ``keep_every``.

    Whole means that no checksum is wrong. Damaged ones count as nothing: those after the newest whole one stay, for
    you to look at, and the others go.

    Returns:
      The steps that were, or with ``dry_run`` would be, deleted.

    Raises:
      CheckpointError: no checkpoint is whole, or a run is writing here.
    """
    steps = require(workdir)
    whole: list[int] = []
    for step in reversed(steps):
        with contextlib.suppress(GoneError):
            if len(whole) < keep_last and not verify(workdir, step):
                whole.append(step)
    if not whole:
        words = f"no checkpoint of {workdir.path} is whole, so none is deleted: `dfjax checkpoint verify`"
        raise CheckpointError(words)
    going = [
        step for step in steps if step < whole[0] and step not in whole and not (keep_every and step % keep_every == 0)
    ]
    if going and not dry_run:
        with Checkpoints(workdir.checkpoints, keep_last=len(steps), patience_seconds=0) as checkpoints:
            for step in going:
                checkpoints.delete(step)
    return going
