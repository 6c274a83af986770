"""What ``dfjax sweep status`` says: each run's state, step and best value, and what its config differs in."""

import dataclasses
import difflib
from typing import Any

from dfjax.launching.errors import JobError
from dfjax.report import best as best_lib
from dfjax.report import words
from dfjax.report.measured import Point
from dfjax.sweeps import lines as lines_lib
from dfjax.sweeps import scores, state
from dfjax.sweeps.frozen import Sweep
from dfjax.sweeps.lines import Line
from dfjax.sweeps.state import Progress, State

METRIC = best_lib.FALLBACK
BY_LINE = "line"


@dataclasses.dataclass(frozen=True)
class Row:
    """A run of a sweep; ``best``: its best value of the table's metric, None where there is none yet."""

    line: Line
    progress: Progress
    best: Point | None


@dataclasses.dataclass(frozen=True)
class Table:
    """The runs of a sweep in order. ``keys``: those that differ between lines. ``way``: which values are better."""

    sweep: Sweep
    metric: str
    way: str
    keys: list[str]
    rows: list[Row]

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state, for those states that there are."""
        found = [row.progress.state for row in self.rows]
        return {each.value: found.count(each) for each in State if each in found}


def make(sweep: Sweep, sort: str = METRIC) -> Table:
    """Read all runs. ``sort``: the metric to show and to sort by, best first; ``line``: in the sweep's order.

    Raises:
      JobError: no run has such a metric, though some have others; or neither way of it is better.
    """
    metric = METRIC if sort == BY_LINE else sort
    # What training itself writes needs no look at all files of evaluation.
    declared: dict[str, str] = {}
    for line in sweep.lines if metric != METRIC else ():
        declared |= scores.declared(sweep.workdir(line))
    way = best_lib.direction(metric, declared)
    rows = []
    for line in sweep.lines:
        workdir = sweep.workdir(line)
        best = scores.best(workdir, metric, way) if way else None
        rows.append(Row(line, state.read(workdir, line.steps), best))
    if metric != METRIC and not any(row.best for row in rows):
        _refuse(sweep, metric, way)
    if sort != BY_LINE:
        sign = 1.0 if way == best_lib.LOWER else -1.0
        rows.sort(key=lambda row: (row.best is None, sign * row.best.value if row.best else 0.0, row.line.number))
    keys = lines_lib.differing([line.overrides for line in sweep.lines])
    return Table(sweep, metric, way or best_lib.LOWER, keys, rows)


def _refuse(sweep: Sweep, metric: str, way: str | None) -> None:
    """Raise JobError for a metric that no run has a best value of, unless no run has any metric yet."""
    known = next((found for line in sweep.lines if (found := scores.names(sweep.workdir(line)))), [])
    if metric in known and way is None:
        raise JobError(f"--sort: of {metric!r} neither less nor more is better by itself; try --sort={METRIC}")
    if known and metric not in known:
        close = difflib.get_close_matches(metric, known, n=1, cutoff=0.0)[0]
        raise JobError(f"--sort: no run has {metric!r}; did you mean {close!r}? There are {', '.join(known)}")


def text(table: Table) -> str:
    """The table for a terminal, and a line of how many runs are in which state."""
    short = lines_lib.shortened(table.keys)
    heads = ["line", "state", "step", f"best {table.metric}", "at step", *(short[key] for key in table.keys)]
    rows = [heads, *(_cells(table, row) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    # Numbers to the right, words to the left.
    aligned = [
        "  ".join(
            cell.ljust(width) if column == 1 or column > 4 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    said = ", ".join(f"{count} {name}" for name, count in table.counts.items())
    faults = [
        f"line {row.line.number} failed: {row.progress.words}"
        for row in table.rows
        if row.progress.state is State.FAILED
    ]
    return "\n".join([*aligned, "", f"{words.count(len(table.rows), 'run')}: {said}", *faults])


def _cells(table: Table, row: Row) -> list[str]:
    best = row.best
    return [
        str(row.line.number),
        row.progress.state.value,
        f"{row.progress.step}/{row.line.steps}",
        words.number(best.value if best else None),
        str(best.step) if best else "–",
        *(value_words(row.line.overrides, key) for key in table.keys),
    ]


def value_words(overrides: dict[str, Any], key: str) -> str:
    """A line's value of a key on one short line; a dash where it leaves the recipe's own."""
    if key not in overrides:
        return "–"
    value = overrides[key]
    plain = " ".join(value.split()) if isinstance(value, str) else repr(value)
    return plain if len(plain) <= 40 else plain[:39] + "…"


def to_json(table: Table) -> dict[str, Any]:
    """The table as one object of JSON's own types. The keys stay."""
    return {
        "workdir": str(table.sweep.folder),
        "metric": {"name": table.metric, "better": table.way},
        "states": table.counts,
        "runs": [_row_json(row) for row in table.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "line": row.line.number,
        "name": row.line.name,
        "state": row.progress.state.value,
        "step": row.progress.step,
        "steps": row.line.steps,
        "best": row.best and {"value": row.best.value, "step": row.best.step},
        "overrides": row.line.overrides,
        "words": row.progress.words,
    }
