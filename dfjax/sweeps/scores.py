"""One metric of a run, read without looking at all else that its files say."""

import json
from collections.abc import Iterator
from pathlib import Path

from dfjax.checkpoint.workdir import Workdir
from dfjax.report import best as best_lib
from dfjax.report import lines, measured
from dfjax.report.measured import Point

# A line of a run is shorter; the last whole one is in the end of the file.
_TAIL = 2**16


def last_step(room: Workdir) -> int:
    """The step of the last line of ``metrics.jsonl``; 0 where there is none. Only the end of the file is read."""
    try:
        with room.metrics.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            end = file.read()
    except OSError:
        return 0
    for row in reversed(end.splitlines()):
        if (found := _object(row)) is not None and (step := lines.step(found.get("step"))) is not None:
            return step
    return 0


def points(room: Workdir, name: str) -> list[Point]:
    """All values of a metric by rising step: of ``metrics.jsonl``, or else of evaluation (its first split)."""
    found: list[Point] = []
    for row in _rows_with(room.metrics, json.dumps(name).encode()):
        said = _object(row) or {}
        step, value = lines.step(said.get("step")), lines.number(said.get(name))
        if step is None or value is None:
            continue
        # A run that went back to an earlier step says all later ones anew.
        while found and found[-1].step >= step:
            found.pop()
        found.append(Point(step, value))
    if found or not (figures := room.path / "eval" / "metrics.jsonl").exists():
        return found
    told = measured.read(figures).points
    return next((told[key] for key in told if key[0] == name), [])


def best(room: Workdir, name: str, way: str) -> Point | None:
    """The best value of a metric; None where none is finite. ``way``: which is better, see ``report.best``."""
    found = best_lib.find(points(room, name), way)
    return found.point if found else None


def names(room: Workdir) -> list[str]:
    """The metrics that a run has, of training and of evaluation."""
    said = [name for line in lines.read(room.metrics) for name in line if name not in ("step", "time")]
    told = measured.read(room.path / "eval" / "metrics.jsonl").points
    return list(dict.fromkeys([*said, *(name for name, _ in told)]))


def _rows_with(path: Path, words: bytes) -> Iterator[bytes]:
    """The lines of a file that have ``words`` in them."""
    try:
        text = path.read_bytes()
    except OSError:
        return
    start = text.find(words)
    while start >= 0:
        end = text.find(b"\n", start)
        # One that is not ended is still being written.
        if end < 0:
            return
        yield text[text.rfind(b"\n", 0, start) + 1 : end]
        start = text.find(words, end)


def _object(row: bytes) -> dict | None:
    try:
        found = json.loads(row)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
