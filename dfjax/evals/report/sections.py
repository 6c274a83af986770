"""The sections of the page that need no script: runs, figures, configs; and the frames that the script fills."""

import math
import shlex
import time
from collections.abc import Sequence
from typing import Any

from dfjax.evals.report import best as best_lib
from dfjax.evals.report import differences, words
from dfjax.evals.report.markup import Safe, join, tag
from dfjax.evals.report.pictures import Pictures
from dfjax.evals.report.run import Run
from dfjax.evals.report.table import Column, Row, Table

_COLOURS = 8
_BETTER = {best_lib.LOWER: "lower is better", best_lib.HIGHER: "higher is better", None: ""}
_ARROWS = {best_lib.LOWER: "↓", best_lib.HIGHER: "↑", None: ""}
_NAMED = 4


def _section(name: str, title: str, *inside: Any) -> Safe:
    return tag("section", tag("h2", title, id=f"{name}-title"), *inside, id=name, aria_labelledby=f"{name}-title")


def _name(runs: Sequence[Run], place: int) -> Safe:
    """A run's name after its colour, which is left out where there is one run only."""
    name = tag("bdi", runs[place].name)
    return join(swatch(place), name) if len(runs) > 1 else name


def swatch(place: int) -> Safe:
    return tag("span", class_=f"swatch run-{place % _COLOURS}", aria_hidden="true")


def _command(run: Run, command: str) -> Safe:
    return tag("code", f"dfjax {command} --workdir={shlex.quote(str(run.path))}")


def runs(table: Table, shown: Sequence[Pictures]) -> Safe:
    """A card for each run: how far it is, how large, its best checkpoint, and what is missing."""
    cards = [_card(table, place, run, shown[place]) for place, run in enumerate(table.runs)]
    return _section("runs", "Run" if len(cards) == 1 else "Runs", tag("div", cards, class_="cards"))


def _card(table: Table, place: int, run: Run, shown: Pictures) -> Safe:
    facts = [
        ("State", _state(run)),
        ("Parameters", words.number(run.parameters) if run.parameters else "unknown"),
        ("Images seen", words.number(run.images_seen) if run.images_seen is not None else "unknown"),
        ("Training time", words.seconds(run.train_seconds)),
        ("Checkpoints kept", _steps(run.checkpoints) if run.checkpoints else "none"),
        ("Best checkpoint", _best(table, place, run)),
    ]
    hints = [tag("li", hint) for hint in _hints(run, shown)]
    return tag(
        "article",
        tag("h3", _name(table.runs, place)),
        tag("p", run.path, class_="path"),
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]),
        tag("ul", hints, class_="hints") if hints else None,
        class_="card",
    )


def _state(run: Run) -> Safe:
    if run.num_steps is None:
        said = f"step {run.step:,}"
    elif run.is_finished:
        said = f"finished, {words.count(run.num_steps, 'step')}"
    else:
        said = f"step {run.step:,} of {run.num_steps:,}"
    written = None
    if run.last_time is not None and 0 < run.last_time < 2**34:
        stamp = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.last_time))
        written = tag("small", f" last line {stamp}")
    bar = None
    if run.num_steps and not run.is_finished:
        # In whole percent: the element of a number that is not finite would be refused.
        percent = min(100, 100 * run.step // run.num_steps)
        bar = tag("progress", value=percent, max=100, aria_label=f"{percent} % of the steps")
    return join(said, written, bar)


def _best(table: Table, place: int, run: Run) -> Safe:
    headline = table.headline
    found = table.best.get((place, headline.label)) if headline else None
    if headline is None or found is None:
        return join("no figure to tell it by yet")
    point = found.point
    kept = "" if point.step in run.checkpoints else "; its files are no longer there"
    alike = f"its error does not tell it from {_steps(found.equals)}" if found.equals else None
    return join(
        tag("strong", f"step {point.step:,}"),
        f": {headline.label} {words.measured(point.value, point.stderr)} ({_BETTER[headline.way]}{kept})",
        tag("small", f" {alike}") if alike else None,
    )


def _steps(steps: Sequence[int]) -> str:
    """Such as ``step 20``, or ``steps 20, 40 and 7 more``."""
    shown = [f"{step:,}" for step in steps[:_NAMED]]
    more = f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
    return f"step{'' if len(steps) == 1 else 's'} {', '.join(shown)}{more}"


def _hints(run: Run, shown: Pictures) -> list[Safe]:
    hints = []
    if not run.curves:
        hints.append(join("No line of training yet: ", _command(run, "train --config=RECIPE.py"), " writes them."))
    if not run.config:
        hints.append(join("Its config.json cannot be read, so images seen and the steps in total are unknown."))
    if not run.measured.points:
        hints.append(join("No figures of checkpoints yet: ", _command(run, "evaluate"), " measures them."))
    if shown.grid is None:
        hints.append(
            join(
                "No pictures yet: ",
                _command(run, "evaluate"),
                " draws them, and so does training every ",
                tag("code", "train.sample_every_steps"),
                ".",
            )
        )
    if left := run.measured.left_out:
        hints.append(
            join(f"{words.count(left, 'figure')} measured with other settings than most are not shown (eval/metrics.jsonl).")
        )
    return hints


def figures(table: Table) -> Safe:
    """Figures by checkpoint, with errors; the script makes the columns sortable."""
    if not table.rows:
        body = tag("p", "No figures yet.", class_="empty")
    else:
        body = join(_legend(table), tag("div", _table(table), class_="scroll", tabindex=0, role="region",
                                        aria_label="Figures by checkpoint"))  # fmt: skip
    return _section("figures", "Figures by checkpoint", body)


def _legend(table: Table) -> Safe:
    several = "★ best of all runs, ☆ best of its run" if len(table.runs) > 1 else "★ best checkpoint"
    return tag("p", f"Value ± standard error. {several}. ↓ lower and ↑ higher is better. A heading sorts.", class_="note")


def _table(table: Table) -> Safe:
    several = len(table.runs) > 1
    heads = [_head("Run", "text")] if several else []
    heads += [_head("Step", "number")]
    heads += [_head(f"{column.label} {_ARROWS[column.way]}".rstrip(), "number") for column in table.columns]
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
    return tag("th", tag("button", label, type="button"), scope="col", data_kind=kind)


def _row(table: Table, row: Row) -> Safe:
    cells = [_cell(table, row, column) for column in table.columns]
    name = tag("td", _name(table.runs, row.run), data_value=table.runs[row.run].name, class_="text")
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
    name = tag("td", _name(table.runs, place), class_="text")
    return tag("tr", name if len(table.runs) > 1 else None, tag("th", "real pictures", scope="row"), cells)


def curves(runs: Sequence[Run], charts: Sequence[Any]) -> Safe:
    """What the script draws the curves into, and its switches."""
    if not charts:
        return _section("curves", "Curves", tag("p", "No curves yet: training writes them.", class_="empty"))
    axes = [("images", "images seen"), ("steps", "steps"), ("time", "training time")]
    # Without a batch size nobody knows how many pictures a step saw.
    first = "images" if all(run.batch_size for run in runs) else "steps"
    switches = [
        tag("label", tag_input("radio", name="axis", value=value, checked=value == first), f" {label}")
        for value, label in axes
    ]
    controls = tag(
        "div",
        tag("fieldset", tag("legend", "Against"), switches),
        tag("fieldset", tag("legend", "Values"), tag("label", tag_input("checkbox", id="log"), " log scale")),
        tag(
            "fieldset",
            tag("legend", "Smoothing of training"),
            tag("label", tag("span", "Smoothing", class_="hidden"), tag_input("range", id="smooth", min=0, max=99, value=60)),
            tag("output", "0.60", id="smooth-value"),
        ),
        tag("fieldset", tag("legend", "Runs"), [_toggle(runs, place) for place in range(len(runs))])
        if len(runs) > 1
        else None,
        class_="controls",
    )
    note = tag(
        "p",
        "Bands: ± one standard error, or the least and greatest of the points that a mean stands for. Dashed: real "
        "pictures. Training time is that of steps alone. Point at a chart, or tab to it and use the arrow keys.",
        class_="note",
    )
    return _section("curves", "Curves", controls, note, tag("div", id="charts"))


def tag_input(kind: str, *, checked: bool = False, **attributes: Any) -> Safe:
    """An input element, which has no end tag."""
    made = tag("input", type=kind, checked="" if checked else None, **attributes)
    return Safe(made.removesuffix("</input>"))


def _toggle(runs: Sequence[Run], place: int) -> Safe:
    return tag("label", tag_input("checkbox", checked=True, class_="toggle", value=place), " ", _name(runs, place))


def pictures(runs: Sequence[Run], shown: Sequence[Pictures]) -> Safe:
    """What the script shows pictures in, with the slider over checkpoints."""
    if not any(each.grid or each.films or each.nearest for each in shown):
        hint = tag("p", "No pictures yet: ", _command(runs[0], "evaluate"), " draws them.", class_="empty")
        return _section("pictures", "Pictures", hint)
    controls = tag(
        "div",
        tag(
            "fieldset",
            tag("legend", "Show"),
            tag("label", tag_input("radio", name="view", value="grid", checked=True), " one checkpoint"),
            tag("label", tag_input("radio", name="view", value="film"), " a film of all"),
        ),
        tag(
            "fieldset",
            tag("legend", tag("label", "Checkpoint", for_="checkpoint")),
            tag("button", "▶ play", type="button", id="play"),
            tag_input("range", id="checkpoint", min=0, max=0, value=0),
            tag("output", "", id="checkpoint-value", for_="checkpoint"),
            id="at",
        ),
        tag(
            "fieldset",
            tag("legend", tag("label", "Prompt", for_="prompt")),
            tag("select", id="prompt"),
            id="of",
            hidden="",
        ),
        class_="controls",
    )
    return _section("pictures", "Pictures", controls, tag("div", id="grids"), tag("div", id="films"),
                    tag("div", id="nearest"))  # fmt: skip


def config(runs: Sequence[Run]) -> Safe:
    """Keys of the config in which the runs differ, or one run from the defaults."""
    found = differences.find([run.config for run in runs])
    title = "Config: what differs between the runs" if len(runs) > 1 else "Config: what is not at its default"
    if not found:
        said = "Nothing." if any(run.config for run in runs) else "No config.json that can be read."
        return _section("config", title, tag("p", said, class_="empty"))
    heads = [tag("th", "Key", scope="col")]
    heads += [tag("th", _name(runs, place) if len(runs) > 1 else "Value", scope="col") for place in range(len(runs))]
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
    return _section("config", title, tag("div", body, class_="scroll", tabindex=0, role="region", aria_label=title))


def _value(value: str | None, default: str | None) -> Safe:
    said = tag("code", "unknown" if value is None else value)
    return tag("td", said, class_="changed" if value not in (None, default) else None)
