"""The first section of the page: a card for each run."""

import time
from collections.abc import Sequence

from dfjax.report import best as best_lib
from dfjax.report import words
from dfjax.report.curves import Clock
from dfjax.report.markup import Safe, join, tag
from dfjax.report.parts import command, run_name, section
from dfjax.report.pictures import Pictures
from dfjax.report.run import Run
from dfjax.report.table import Table

_BETTER = {best_lib.LOWER: "lower is better", best_lib.HIGHER: "higher is better", None: ""}
# Steps that are named of a list of them.
_NAMED = 4


def runs(table: Table, shown: Sequence[Pictures]) -> Safe:
    """A card for each run: how far it is, how large, its best checkpoint, and what is missing."""
    cards = [_card(table, place, run, shown[place]) for place, run in enumerate(table.runs)]
    return section(
        "runs",
        "Run" if len(cards) == 1 else "Runs",
        tag("div", cards, class_="cards" if len(cards) > 1 else "cards one"),
    )


def _card(table: Table, place: int, run: Run, shown: Pictures) -> Safe:
    facts = [
        ("State", _state(run)),
        ("Parameters", words.number(run.parameters) if run.parameters else "unknown"),
        ("Images seen", words.number(run.images_seen) if run.images_seen is not None else "unknown"),
        ("Training time", _time(run)),
        ("Checkpoints kept", _steps(run.checkpoints) if run.checkpoints else "none"),
        ("Best checkpoint", _best(table, place, run)),
    ]
    hints = [tag("li", hint) for hint in _hints(run, shown)]
    return tag(
        "article",
        tag("h3", run_name(table.runs, place)),
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


def _time(run: Run) -> Safe:
    """What the newest checkpoint says, and before there is one the sum of the steps."""
    steps = Clock(run.curves).at([run.step]) if run.train_seconds is None else None
    if steps:
        return join(words.seconds(steps[0]), tag("small", "of steps alone"))
    return join(words.seconds(run.train_seconds))


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
        hints.append(join("No line of training yet. What writes them: ", command(run, "train --config=RECIPE.py")))
    if not run.config:
        hints.append(join("Its config.json cannot be read, so images seen and the steps in total are unknown."))
    if not run.measured.points:
        hints.append(join("No figures of checkpoints yet. What measures them: ", command(run, "evaluate")))
    if shown.grid is None:
        every = tag("code", "train.sample_every_steps")
        hints.append(join("No pictures yet. Evaluation draws them, and so does training, every ", every, "."))
    if left := run.measured.left_out:
        hints.append(
            join(f"{words.count(left, 'figure')} of eval/metrics.jsonl, measured with other settings, not shown.")
        )
    return hints
