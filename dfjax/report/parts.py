"""What several sections of the page are made of."""

import shlex
from collections.abc import Sequence
from typing import Any

from dfjax.report.markup import Safe, join, tag
from dfjax.report.run import Run

_COLOURS = 8


def section(name: str, title: str, *inside: Any) -> Safe:
    """A section of the page under its heading; ``name`` is its id."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *inside, id=name, aria_labelledby=f"{name}-title")


def run_name(runs: Sequence[Run], place: int) -> Safe:
    """A run's name after its colour, which is left out where there is one run only."""
    name = tag("bdi", runs[place].name)
    return join(swatch(place), name) if len(runs) > 1 else name


def swatch(place: int) -> Safe:
    """A run's colour."""
    return tag("span", class_=f"swatch run-{place % _COLOURS}", aria_hidden="true")


def command(run: Run, words: str) -> Safe:
    """A command that works on a run, to be copied."""
    return tag("code", f"dfjax {words} --workdir={shlex.quote(str(run.path))}", class_="command")


def switch(kind: str, *, checked: bool = False, **attributes: Any) -> Safe:
    """An input element, which has no end tag, and which no browser sets as it was before a reload."""
    made = tag("input", type=kind, checked="" if checked else None, autocomplete="off", **attributes)
    return Safe(made.removesuffix("</input>"))
