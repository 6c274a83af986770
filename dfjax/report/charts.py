"""The data of the page's curves: what its script draws."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from dfjax.report.curves import Clock, Curve, thin
from dfjax.report.measured import Point
from dfjax.report.run import Run
from dfjax.report.table import Column, Table

# Points of a curve: more than a chart is wide do not show. Of many runs each has fewer, for the page stays small.
_POINTS, _ALL_POINTS, _FEWEST = 800, 3200, 100
# What jumps from line to line.
_NOISY = re.compile("loss|norm|second|mfu")
# Steps named of those whose value was not finite.
_NAMED = 20

EVALUATION, VALIDATION, TRAINING, OTHER = "Evaluation", "Validation", "Training", "Other"
GROUPS = (EVALUATION, VALIDATION, TRAINING, OTHER)


def make(table: Table) -> list[dict[str, Any]]:
    """All charts, in the order of GROUPS and of the files.

    A chart has ``name``, ``group``, ``better``, ``smooth`` (whether smoothing is of use), ``constant`` (whether nothing
    ever changed), ``real`` (figures of real pictures: ``run``, ``y``, ``e``) and ``curves``: of ``run``, ``x`` (steps),
    ``s`` (seconds of training, or null), ``y``, ``e`` (standard errors, or null for each or all), ``lo`` and ``hi``
    (the least and greatest of the ``each`` points that one stands for), ``bad`` and ``bads`` (steps that were not
    finite: the first few, and how many).
    """
    runs = table.runs
    limit = max(_FEWEST, min(_POINTS, _ALL_POINTS // len(runs)))
    clocks = [Clock(run.curves) for run in runs]
    charts = [_measured(table, column, clocks) for column in table.columns if _is_measured(runs, column)]
    names = dict.fromkeys(name for run in runs for name in run.curves)
    charts += [_training(runs, name, clocks, limit) for name in names]
    return sorted(charts, key=lambda chart: GROUPS.index(chart["group"]))


def _is_measured(runs: Sequence[Run], column: Column) -> bool:
    return any((column.name, column.split) in run.measured.points for run in runs)


def _measured(table: Table, column: Column, clocks: Sequence[Clock]) -> dict[str, Any]:
    curves = []
    for place, run in enumerate(table.runs):
        points = run.measured.points.get((column.name, column.split), [])
        if points:
            curves.append({"run": place, **_points(points, clocks[place])})
    real = [
        {"run": place, "y": point.value, "e": point.stderr}
        for (place, label), point in table.real.items()
        if label == column.label and math.isfinite(point.value)
    ]
    chart = {"name": column.label, "group": EVALUATION, "better": column.way, "smooth": False, "constant": False}
    return chart | {"curves": curves, "real": real}


def _points(points: Sequence[Point], clock: Clock) -> dict[str, Any]:
    finite = [point for point in points if math.isfinite(point.value)]
    bad = [point.step for point in points if not math.isfinite(point.value)]
    steps = [point.step for point in finite]
    return {
        "x": steps,
        "s": clock.at(steps),
        "y": [point.value for point in finite],
        "e": [point.stderr for point in finite],
        "n": [point.num_images for point in finite],
        **_told(bad),
    }


def _training(runs: Sequence[Run], name: str, clocks: Sequence[Clock], limit: int) -> dict[str, Any]:
    curves = [
        {"run": place, **_thinned(run.curves[name], clocks[place], limit)}
        for place, run in enumerate(runs)
        if name in run.curves
    ]
    group = next(
        (g for start, g in (("train/", TRAINING), ("validation/", VALIDATION)) if name.startswith(start)), OTHER
    )
    return {
        "name": name,
        "group": group,
        "better": None,
        "smooth": group == TRAINING and bool(_NOISY.search(name)),
        "constant": len(set(_all_values(runs, name))) == 1 and not any(curve["bads"] for curve in curves),
        "curves": curves,
        "real": [],
    }


def _all_values(runs: Sequence[Run], name: str) -> Iterator[float]:
    for run in runs:
        if name in run.curves:
            yield from run.curves[name].values


def _thinned(curve: Curve, clock: Clock, limit: int) -> dict[str, Any]:
    few = thin(curve, limit)
    told: dict[str, Any] = {"x": [int(step) for step in few.steps], "s": clock.at(few.steps), "y": few.values}
    if few.each > 1:
        told |= {"lo": few.low, "hi": few.high, "each": few.each}
    return told | _told(few.not_finite)


def _told(bad: Sequence[int]) -> dict[str, Any]:
    return {"bad": list(bad[:_NAMED]), "bads": len(bad)}
