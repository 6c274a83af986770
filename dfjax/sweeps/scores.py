"""One metric of a run, read without looking at all else that its files say."""

import json

from dfjax.checkpoint.workdir import Workdir
from dfjax.core import jsonl
from dfjax.report import best as best_lib
from dfjax.report import measured
from dfjax.report.measured import Point


def last_step(workdir: Workdir) -> int:
    """The step of the last line of ``metrics.jsonl``; 0 where there is none. Only the end of the file is read."""
    steps = (jsonl.step(line.get("step")) for line in jsonl.backwards(workdir.metrics))
    return next((step for step in steps if step is not None), 0)


def points(workdir: Workdir, name: str) -> list[Point]:
    """All values of a metric by rising step: of ``metrics.jsonl``, or else of evaluation (its first split)."""
    found: list[Point] = []
    for said in jsonl.read(workdir.metrics, containing=json.dumps(name).encode()):
        step, value = jsonl.step(said.get("step")), jsonl.number(said.get(name))
        if step is None or value is None:
            continue
        # A run that went back to an earlier step says all later ones anew.
        while found and found[-1].step >= step:
            found.pop()
        found.append(Point(step, value))
    if found or not (figures := workdir.path / "eval" / "metrics.jsonl").exists():
        return found
    told = measured.read(figures).points
    return next((told[key] for key in told if key[0] == name), [])


def best(workdir: Workdir, name: str, way: str) -> Point | None:
    """The best value of a metric; None where none is finite. ``way``: which is better, see ``report.best``."""
    found = best_lib.find(points(workdir, name), way)
    return found.point if found else None


def declared(workdir: Workdir) -> dict[str, str]:
    """Which way figures of evaluation are better, by name, as far as their evaluators say so."""
    return measured.read(workdir.path / "eval" / "metrics.jsonl").better


def names(workdir: Workdir) -> list[str]:
    """The metrics that a run has, of training and of evaluation."""
    said = [name for line in jsonl.read(workdir.metrics) for name in line if name not in ("step", "time")]
    told = measured.read(workdir.path / "eval" / "metrics.jsonl").points
    return list(dict.fromkeys([*said, *(name for name, _ in told)]))
