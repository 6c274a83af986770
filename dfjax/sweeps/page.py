"""The page about a sweep: parallel coordinates, a table and the curves of its best runs. No server, no network."""

import importlib.resources
import math
from typing import Any

from dfjax.checkpoint.store import CheckpointError
from dfjax.report import best as best_lib
from dfjax.report import charts, controls, words
from dfjax.report import page as page_lib
from dfjax.report import run as run_lib
from dfjax.report import table as figures_lib
from dfjax.report.markup import Safe, join, tag
from dfjax.report.parts import section
from dfjax.sweeps import lines as lines_lib
from dfjax.sweeps.table import Row, Table, value_words

# Curves of so many runs, the best, can be told apart.
_CURVES = 24
_SCRIPTS = ("common.js", "charts.js", "table.js")
_ARROWS = {best_lib.LOWER: "↓", best_lib.HIGHER: "↑"}


def make(table: Table) -> str:
    """The page about the runs of a table, in its order."""
    runs = _runs(table)
    shown = charts.make(figures_lib.make(runs)) if runs else []
    data = {
        "runs": [{"name": run.name, "batch": run.batch_size} for run in runs],
        "groups": charts.GROUPS,
        "charts": shown,
        "sweep": _coordinates(table),
    }
    folder = importlib.resources.files("dfjax.sweeps") / "assets"
    own = {name: (folder / name).read_text(encoding="utf-8") for name in ("sweep.css", "parallel.js", "main.js")}
    return page_lib.build(
        title=table.sweep.folder.name,
        sections=("Sweep", "Runs", "Curves"),
        body=join(_sweep(table), _table(table), controls.curves(runs, shown)),
        style=page_lib.asset("page.css") + own["sweep.css"],
        data=data,
        script="".join(page_lib.asset(name) for name in _SCRIPTS) + own["parallel.js"] + own["main.js"],
    )


def _runs(table: Table) -> list[run_lib.Run]:
    """The runs whose curves are shown: the first of the table that have written something."""
    found: list[run_lib.Run] = []
    for row in table.rows:
        if len(found) == _CURVES:
            break
        workdir = table.sweep.workdir(row.line)
        if workdir.metrics.exists():
            try:
                found.append(run_lib.read(workdir.path, row.line.name))
            except CheckpointError:
                continue
    return found


def _coordinates(table: Table) -> dict[str, Any]:
    """What the script draws: for each run its value of each key, and the best of the metric."""
    short = lines_lib.shortened(table.keys)
    rows = [
        {
            "name": row.line.name,
            "state": row.progress.state.value,
            "values": [_value(table, row, key) for key in table.keys],
            "best": _finite(row),
        }
        for row in table.rows
    ]
    return {"keys": [short[key] for key in table.keys], "metric": table.metric, "better": table.way, "rows": rows}


def _value(table: Table, row: Row, key: str) -> float | str:
    """A number as it is, and anything else as words; what a line leaves alone is the recipe's."""
    base = table.sweep.header.base.to_dict()
    section_name, name = key.split(".")
    value = row.line.overrides.get(key, base[section_name][name])
    return value if type(value) in (int, float) else value_words({key: value}, key)


def _finite(row: Row) -> float | None:
    return row.best.value if row.best and math.isfinite(row.best.value) else None


def _sweep(table: Table) -> Safe:
    said = ", ".join(f"{count} {name}" for name, count in table.counts.items())
    facts = tag("p", f"{table.sweep.folder}: {words.count(len(table.rows), 'run')}, {said}.", class_="path")
    if not any(_finite(row) is not None for row in table.rows):
        return section("sweep", "Sweep", facts, tag("p", f"No run has a {table.metric} yet.", class_="empty"))
    note = tag(
        "p",
        f"A line is a run, blue where its best {table.metric} is the best of all and orange where it is the worst; "
        "dashed: not finished. Point at one for its values.",
        class_="note",
    )
    return section("sweep", "Sweep", facts, note, tag("div", id="parallel", class_="chart"))


def _table(table: Table) -> Safe:
    short = lines_lib.shortened(table.keys)
    arrow = _ARROWS.get(table.way, "")
    heads = [("Line", "number"), ("State", "text"), ("Step", "number"), (f"{table.metric}\u00a0{arrow}", "number")]
    for key in table.keys:
        is_number = all(isinstance(_value(table, row, key), int | float) for row in table.rows)
        heads.append((short[key], "number" if is_number else "text"))
    head = [tag("th", tag("button", label, type="button"), scope="col", data_kind=kind) for label, kind in heads]
    best = _best(table)
    first = next((row.line.number for row in table.rows if row.best and row.best is best), None)
    body = [_row(table, row, row.line.number == first) for row in table.rows]
    made = tag(
        "table",
        tag("caption", "Runs of the sweep", class_="hidden"),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
        id="figures-table",
    )
    region = tag("div", made, class_="scroll", tabindex=0, role="region", aria_label="Runs of the sweep")
    return section("runs", "Runs", tag("p", "A heading sorts.", class_="note"), region)


def _best(table: Table):
    sign = 1.0 if table.way == best_lib.LOWER else -1.0
    return min((row.best for row in table.rows if row.best), key=lambda point: sign * point.value, default=None)


def _row(table: Table, row: Row, is_best: bool) -> Safe:
    best, progress = row.best, row.progress
    value = tag(
        "td",
        tag("span", "★ ", title="best of all runs") if is_best else None,
        words.number(best.value) if best else "–",
        data_value=repr(best.value) if best else None,
        title=f"at step {best.step:,}" if best else None,
        class_="best" if is_best else None,
    )
    values = [_value(table, row, key) for key in table.keys]
    return tag(
        "tr",
        tag("th", row.line.number, scope="row", data_value=row.line.number, title=row.line.name),
        tag("td", progress.state.value, data_value=progress.state.value, title=progress.words or None, class_="text"),
        tag("td", f"{progress.step:,} of {row.line.steps:,}", data_value=progress.step),
        value,
        [tag("td", each, data_value=each, class_=None if isinstance(each, int | float) else "text") for each in values],
    )
