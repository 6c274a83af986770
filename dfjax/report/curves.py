"""Curves of a run's ``metrics.jsonl``, its clock, and curves of many points as one of fewer."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dfjax.core import jsonl


@dataclasses.dataclass
class Curve:
    """Values by step, steps rising; ``times``: Unix seconds at which they were written, NaN where nothing says so."""

    steps: list[int] = dataclasses.field(default_factory=list)
    values: list[float] = dataclasses.field(default_factory=list)
    times: list[float] = dataclasses.field(default_factory=list)

    def add(self, step: int, value: float, time: float) -> None:
        """Add a point. A run that went back to an earlier step says all later ones anew: they are forgotten."""
        while self.steps and self.steps[-1] >= step:
            for each in (self.steps, self.values, self.times):
                each.pop()
        self.steps.append(step)
        self.values.append(value)
        self.times.append(time)


def read(path: Path) -> dict[str, Curve]:
    """All curves of a file with lines ``{"step", "time", name: value, ...}``, by name, in the order of the file."""
    found: dict[str, Curve] = {}
    for line in jsonl.read(path):
        step, time = jsonl.step(line.get("step")), jsonl.number(line.get("time"))
        if step is None:
            continue
        for name, said in line.items():
            if name not in ("step", "time") and (value := jsonl.number(said)) is not None:
                found.setdefault(name, Curve()).add(step, value, math.nan if time is None else time)
    return found


@dataclasses.dataclass(frozen=True)
class Thinned:
    """At most so many points; each the mean of neighbours, with the least and the greatest of them.

    ``each``: how many points one stands for; 1: they are the curve's own, and ``low`` and ``high`` are empty.
    ``not_finite``: steps whose value was none; they are in no mean.
    """

    steps: list[float]
    values: list[float]
    low: list[float]
    high: list[float]
    each: int
    not_finite: list[int]


def thin(curve: Curve, limit: int) -> Thinned:
    """A curve of at most ``limit`` points, which are equally many neighbours' means where it has more."""
    values, steps = np.asarray(curve.values, np.float64), np.asarray(curve.steps, np.float64)
    finite = np.isfinite(values)
    bad = [int(step) for step in steps[~finite]]
    values, steps = values[finite], steps[finite]
    if len(values) <= limit:
        return Thinned(steps.tolist(), values.tolist(), [], [], 1, bad)
    each = -(-len(values) // limit)
    parts = [slice(start, start + each) for start in range(0, len(values), each)]
    return Thinned(
        # The last step of each, so that a curve ends where it ends.
        [float(steps[part][-1]) for part in parts],
        [_short(_mean(values[part])) for part in parts],
        [_short(values[part].min()) for part in parts],
        [_short(values[part].max()) for part in parts],
        each,
        bad,
    )


def _mean(values: np.ndarray) -> float:
    # Divided first: a sum of great values could pass what a float holds.
    return float((values / len(values)).sum())


def _short(value: float) -> float:
    """Six digits: a mean is not known, nor drawn, any better."""
    return float(f"{value:.6g}")


class Clock:
    """Seconds of training by step, in steps alone: validation, saving and waits between resumes do not count.

    Where no ``train/step_seconds`` say how long steps took, it is the time since the first line that was written.
    """

    def __init__(self, curves: Mapping[str, Curve]):
        self._steps, self._seconds = _of_steps(curves.get("train/step_seconds")) or _of_lines(curves) or ([], [])

    def at(self, steps: Sequence[float]) -> list[float] | None:
        """Seconds at these steps, between known ones by a line; None where nothing is known."""
        if not self._steps:
            return None
        seconds = np.interp(steps, self._steps, self._seconds)
        return [_short(each) for each in seconds] if np.isfinite(seconds).all() else None


def _of_steps(curve: Curve | None) -> tuple[list[float], list[float]] | None:
    known = [(s, v) for s, v in zip(curve.steps, curve.values, strict=True) if 0 <= v < math.inf] if curve else []
    if not known:
        return None
    steps = np.array([0, *(step for step, _ in known)], np.float64)
    seconds = np.concatenate([[0.0], np.cumsum(np.diff(steps) * [value for _, value in known])])
    return steps.tolist(), seconds.tolist()


def _of_lines(curves: Mapping[str, Curve]) -> tuple[list[float], list[float]] | None:
    longest = max(curves.values(), key=lambda curve: len(curve.steps), default=Curve())
    known = [(s, t) for s, t in zip(longest.steps, longest.times, strict=True) if math.isfinite(t)]
    if not known:
        return None
    times = np.maximum.accumulate([time for _, time in known])
    return [float(step) for step, _ in known], (times - times[0]).tolist()
