"""Figures by checkpoint: the page's table, and the same as one JSON object."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from dfjax.core import jsonl
from dfjax.core.errors import WRONG_USE, DfjaxError
from dfjax.report import best as best_lib
from dfjax.report.best import Best
from dfjax.report.measured import Point
from dfjax.report.run import Run

# Validation alone can have thousands of steps; so many of them, evenly spread, make a table.
_MOST_ROWS = 40


class ReportError(DfjaxError):
    """A report that cannot be made as it was asked for."""

    status = WRONG_USE


@dataclasses.dataclass(frozen=True)
class Column:
    """A figure; ``label`` has its split where the runs have it of several. ``way``: which way is better, if any."""

    name: str
    split: str
    label: str
    way: str | None


@dataclasses.dataclass(frozen=True)
class Row:
    """The figures of a checkpoint, by label. ``run``: its place among the runs."""

    run: int
    step: int
    points: dict[str, Point]


@dataclasses.dataclass(frozen=True)
class Table:
    """All figures of several runs.

    Attributes:
      real: figures of real pictures, by place of the run and label. best: the same of each run's best checkpoint.
      best_run: by label, the place of the run whose best checkpoint is the best of all.
      headline: the column by which a run's best checkpoint is told; None where there is no figure to tell it by.
    """

    runs: Sequence[Run]
    columns: list[Column]
    rows: list[Row]
    real: dict[tuple[int, str], Point]
    best: dict[tuple[int, str], Best]
    best_run: dict[str, int]
    headline: Column | None


def make(runs: Sequence[Run], wish: str = "") -> Table:
    """The table of ``runs``. ``wish``: name of the headline; by default KID, or what there is.

    Raises:
      ReportError: there are figures, but none of that name, or neither way of it is better.
    """
    columns = _columns(runs)
    headline = _headline(columns, wish)
    if headline:
        columns = [headline, *(column for column in columns if column != headline)]
    best, real = {}, {}
    for place, run in enumerate(runs):
        for column in columns:
            found = best_lib.find(run.points.get((column.name, column.split), ()), column.way)
            if found:
                best[place, column.label] = found
            if point := run.measured.real.get((column.name, column.split)):
                real[place, column.label] = point
    rows = [row for place, run in enumerate(runs) for row in _rows(place, run, columns, best, headline)]
    return Table(runs, columns, rows, real, best, _best_runs(columns, best), headline)


def _columns(runs: Sequence[Run]) -> list[Column]:
    keys = list(dict.fromkeys(key for run in runs for key in run.points))
    said = {name: way for run in runs for name, way in run.measured.better.items()}
    splits: dict[str, int] = {}
    for name, _ in keys:
        splits[name] = splits.get(name, 0) + 1
    labels = [f"{name} [{split or 'no split'}]" if splits[name] > 1 else name for name, split in keys]
    return [
        Column(name, split, label, best_lib.direction(name, said))
        for (name, split), label in zip(keys, labels, strict=True)
    ]


def _headline(columns: Sequence[Column], wish: str) -> Column | None:
    told = [column for column in columns if column.way]
    if wish:
        named = [column for column in columns if wish in (column.label, column.name)]
        if columns and not named:
            labels = [column.label for column in columns]
            close = max(labels, key=lambda label: _likeness(wish, label))
            raise ReportError(f"--best: no run has {wish!r}; did you mean {close!r}? There are {', '.join(labels)}")
        if named and not named[0].way:
            raise ReportError(
                f"--best: of {wish!r} neither less nor more is better by itself; there are "
                + ", ".join(column.label for column in told)
            )
        return named[0] if named else None
    for pattern in (best_lib.HEADLINE, "kid_", "validation_loss", best_lib.FALLBACK, ""):
        for column in told:
            if column.name.startswith(pattern):
                return column
    return None


def _likeness(wish: str, label: str) -> tuple[int, float]:
    """Names of figures are long and begin with what matters: how far both are the same, and how much of the rest."""
    differ = (place for place, (one, other) in enumerate(zip(wish, label, strict=False)) if one != other)
    return next(differ, min(len(wish), len(label))), difflib.SequenceMatcher(None, wish, label).ratio()


def _rows(place: int, run: Run, columns: Sequence[Column], best, headline: Column | None) -> list[Row]:
    by_label = {
        column.label: {point.step: point for point in run.points.get((column.name, column.split), ())}
        for column in columns
    }
    steps = sorted({point.step for points in run.measured.points.values() for point in points})
    if not steps:
        known = sorted({step for points in by_label.values() for step in points})
        last = max(1, min(len(known), _MOST_ROWS) - 1)
        steps = sorted({known[round(i * (len(known) - 1) / last)] for i in range(last + 1)}) if known else []
    # The best one by validation need not be a checkpoint that was evaluated; it is shown all the same.
    if headline and (found := best.get((place, headline.label))):
        steps = sorted({*steps, found.point.step})
    return [
        Row(place, step, {label: points[step] for label, points in by_label.items() if step in points})
        for step in steps
    ]


def _best_runs(columns: Sequence[Column], best: dict[tuple[int, str], Best]) -> dict[str, int]:
    found = {}
    for column in columns:
        sign = 1.0 if column.way == best_lib.LOWER else -1.0
        values = {place: sign * each.point.value for (place, label), each in best.items() if label == column.label}
        if values:
            found[column.label] = min(values, key=lambda place: values[place])
    return found


def to_json(table: Table) -> dict[str, Any]:
    """The table as one object of JSON's own types: ``nan`` and infinities are strings. The keys stay."""
    headline = table.headline
    return {
        "best_by": headline and {"name": headline.label, "better": headline.way},
        "runs": [_run_json(table, place, run) for place, run in enumerate(table.runs)],
    }


def _run_json(table: Table, place: int, run: Run) -> dict[str, Any]:
    best = table.headline and table.best.get((place, table.headline.label))
    figures = [
        {"step": row.step, "name": column.name, "split": column.split or None} | _point_json(row.points[column.label])
        for row in table.rows
        if row.run == place
        for column in table.columns
        if column.label in row.points
    ]
    return {
        "name": run.name,
        "path": str(run.path),
        "finished": run.is_finished,
        "step": run.step,
        "num_steps": run.num_steps,
        "parameters": run.parameters,
        "images_seen": run.images_seen,
        "train_seconds": run.train_seconds,
        "best": best and {"step": best.point.step} | _point_json(best.point) | {"equals": list(best.equals)},
        "figures": figures,
        "real": [
            {"name": name, "split": split or None} | _point_json(point)
            for (name, split), point in run.measured.real.items()
        ],
    }


def _point_json(point: Point) -> dict[str, Any]:
    return {"value": jsonl.plain(point.value), "stderr": point.stderr, "num_images": point.num_images}
