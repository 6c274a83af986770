"""What has become of each run of a sweep: read from its work directory, so that it is the same on every engine."""

import dataclasses
import enum
import json
import time
from pathlib import Path
from typing import Any

from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import storage
from dfjax.core.errors import FAILED, WRONG_USE
from dfjax.runtime import heartbeats
from dfjax.sweeps import scores


class State(enum.Enum):
    """What a run of a sweep is at, with what a repeat of the command does about it."""

    NEW = "new"  # it starts
    RUNNING = "running"  # it is left alone
    CUT = "cut"  # it goes on
    FAILED = "failed"  # it is tried again
    PRUNED = "pruned"  # it is left alone, as its search gave it up
    FINISHED = "finished"  # it is left alone


# What a repeat of the command starts.
OPEN = (State.NEW, State.CUT, State.FAILED)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is. ``words``: what it ended with, where it failed."""

    state: State
    step: int
    words: str = ""


def read(workdir: Workdir, steps: int) -> Progress:
    """How far the run of a work directory is, which has ``steps`` in all. Takes no lock, and waits for nothing."""
    saved = next((each for each in reversed(workdir.steps()) if not workdir.incomplete(each)), 0)
    if saved >= steps:
        return Progress(State.FINISHED, saved)
    step = max(saved, scores.last_step(workdir))
    if heartbeats.at_work(workdir.heartbeats):
        return Progress(State.RUNNING, step)
    if is_pruned(workdir):
        return Progress(State.PRUNED, step)
    if words := _fault(workdir):
        return Progress(State.FAILED, step, words)
    found, words = workdir.inspect()
    if found in (Found.DAMAGED, Found.FOREIGN):
        return Progress(State.FAILED, step, words)
    # A run that was ended before its first checkpoint starts again.
    is_new = found is Found.NEW and not workdir.heartbeats.exists()
    return Progress(State.NEW if is_new else State.CUT, step)


def _fault(workdir: Workdir) -> str:
    """What a run says, or who started it, that it failed with; empty where it did not."""
    for file in sorted(workdir.heartbeats.glob("process_*.json")):
        beat = heartbeats.read(file)
        if beat is not None and beat.status in (FAILED, WRONG_USE):
            return beat.words or f"status {beat.status}"
    said = _note(workdir).get("failed")
    return said if isinstance(said, str) and not _is_older(workdir) else ""


def _is_older(workdir: Workdir) -> bool:
    """Whether a process was at work after it was noted how the run ended: somebody else started it again."""
    newest = max(map(heartbeats.written, workdir.heartbeats.glob("process_*.json")), default=0.0)
    return newest > heartbeats.written(_ended(workdir))


def is_pruned(workdir: Workdir) -> bool:
    """Whether a search has given a run up."""
    return bool(_note(workdir).get("pruned"))


def prune(workdir: Workdir, words: str) -> None:
    """Note that a search gives the run up: nothing starts it again."""
    _write(workdir, {"pruned": words})


def fail(workdir: Workdir, words: str) -> None:
    """Note what a run failed with that may not have come to say so itself."""
    _write(workdir, {"failed": words})


def forget(workdir: Workdir) -> None:
    """Forget how a run ended, since it is about to start again. Not while any of its processes is at work."""
    _ended(workdir).unlink(missing_ok=True)
    for file in workdir.heartbeats.glob("process_*.json"):
        beat = heartbeats.read(file)
        if beat is not None and beat.status is not None:
            file.unlink(missing_ok=True)


def _ended(workdir: Workdir) -> Path:
    return workdir.launch / "ended.json"


def _write(workdir: Workdir, said: dict[str, Any]) -> None:
    workdir.launch.mkdir(parents=True, exist_ok=True)
    storage.replace(_ended(workdir), json.dumps(said | {"time": round(time.time(), 3)}).encode(), shared=True)


def _note(workdir: Workdir) -> dict[str, Any]:
    try:
        said = json.loads(_ended(workdir).read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
