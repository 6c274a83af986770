"""The tables of the page: figures by checkpoint, and differences between configs."""

import math
from collections.abc import Sequence

from dfjax.report import best as best_lib
from dfjax.report import differences, words
from dfjax.report.markup import Safe, join, tag
from dfjax.report.measured import Point
from dfjax.report.parts import run_name, section
from dfjax.report.run import Run
from dfjax.report.table import Column, Row, Table

_ARROWS = {best_lib.LOWER: "↓", best_lib.HIGHER: "↑", None: ""}


def figures(table: Table) -> Safe:
    """Figures by checkpoint, with errors; the script makes the columns sortable."""
    if not table.rows:
        body = tag("p", "No figures yet.", class_="empty")
    else:
        scrolled = {"class_": "scroll", "tabindex": 0, "role": "region", "aria_label": "Figures by checkpoint"}
        body = join(_legend(table), _otherwise(table), tag("div", _table(table), **scrolled))
    return section("figures", "Figures by checkpoint", body)


def _legend(table: Table) -> Safe:
    several = "★ best of all runs, ☆ best of its run" if len(table.runs) > 1 else "★ best checkpoint"
    return tag(
        "p", f"Value ± standard error. {several}. ↓ lower and ↑ higher is better. A heading sorts.", class_="note"
    )


def _otherwise(table: Table) -> Safe | None:
    """A warning where runs were not measured alike."""
    for split in dict.fromkeys(column.split for column in table.columns):
        ways = {each.measured.settings[split] for each in table.runs if split in each.measured.settings}
        if len(ways) > 1:
            counts = [
                f"{run.name} {words.count(most, 'picture')}"
                for run in table.runs
                if (most := max((p.num_images or 0 for p in _points(run, split)), default=0))
            ]
            said = "The runs were not measured alike: pictures, sampler, guidance or real pictures differ"
            return tag("p", f"{said} ({', '.join(counts)}). Compare figures only where they do not.", class_="note")
    return None


def _points(run: Run, split: str) -> list[Point]:
    return [point for (_, of), points in run.measured.points.items() if of == split for point in points]


def _table(table: Table) -> Safe:
    several = len(table.runs) > 1
    heads = [_head("Run", "text")] if several else []
    heads += [_head("Step", "number")]
    heads += [_head(f"{column.label}\u00a0{_ARROWS[column.way]}".rstrip(), "number") for column in table.columns]
    rows = [_row(table, row) for row in table.rows]
    real = [_real_row(table, place) for place in range(len(table.runs)) if any(p == place for p, _ in table.real)]
    return tag(
        "table",
        tag("caption", "Figures by checkpoint", class_="hidden"),
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        tag("tfoot", real) if real else None,
        id="figures-table",
    )


def _head(label: str, kind: str) -> Safe:
    # A long name is broken at its underscores.
    words = [join(part, Safe("<wbr>")) for part in label.replace("_", "_\0").split("\0")]
    return tag("th", tag("button", words, type="button"), scope="col", data_kind=kind)


def _row(table: Table, row: Row) -> Safe:
    cells = [_cell(table, row, column) for column in table.columns]
    name = tag("td", run_name(table.runs, row.run), data_value=table.runs[row.run].name, class_="text")
    step = tag("th", f"{row.step:,}", scope="row", data_value=row.step)
    return tag("tr", name if len(table.runs) > 1 else None, step, cells)


def _cell(table: Table, row: Row, column: Column) -> Safe:
    point = row.points.get(column.label)
    if point is None:
        return tag("td", "–", class_="none")
    best = table.best.get((row.run, column.label))
    is_best = best is not None and best.point.step == row.step
    is_first = is_best and table.best_run[column.label] == row.run
    mark = tag("span", "★" if is_first else "☆", title="best of all runs" if is_first else "best of its run")
    images = f"{words.count(point.num_images, 'picture')}" if point.num_images else None
    return tag(
        "td",
        join(mark, " ") if is_best else None,
        words.measured(point.value, point.stderr),
        data_value=repr(point.value) if math.isfinite(point.value) else None,
        title=images,
        class_="best" if is_best else None,
    )


def _real_row(table: Table, place: int) -> Safe:
    cells = [
        tag("td", words.measured(point.value, point.stderr) if point else "–")
        for point in (table.real.get((place, column.label)) for column in table.columns)
    ]
    name = tag("td", run_name(table.runs, place), class_="text")
    return tag("tr", name if len(table.runs) > 1 else None, tag("th", "real pictures", scope="row"), cells)


def config(runs: Sequence[Run]) -> Safe:
    """Keys of the config in which the runs differ, or one run from the defaults."""
    found = differences.find([run.config for run in runs])
    title = "Config: what differs between the runs" if len(runs) > 1 else "Config: what is not at its default"
    if not found:
        said = "Nothing." if any(run.config for run in runs) else "No config.json that can be read."
        return section("config", title, tag("p", said, class_="empty"))
    heads = [tag("th", "Key", scope="col")]
    heads += [tag("th", run_name(runs, place) if len(runs) > 1 else "Value", scope="col") for place in range(len(runs))]
    heads += [tag("th", "Default", scope="col")]
    rows = [
        tag(
            "tr",
            tag("th", tag("code", each.key), tag("small", each.meaning) if each.meaning else None, scope="row"),
            [_value(value, each.default) for value in each.values],
            tag("td", tag("code", each.default if each.default is not None else "–")),
        )
        for each in found
    ]
    body = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="keys")
    return section("config", title, tag("div", body, class_="scroll", tabindex=0, role="region", aria_label=title))


def _value(value: str | None, default: str | None) -> Safe:
    said = tag("code", "unknown" if value is None else value)
    return tag("td", said, class_="changed" if value not in (None, default) else None)
