"""The page: everything that a run says is text or data in it, and no other script than its own can run."""

import base64
import dataclasses
import hashlib
import importlib.resources
import json
import string
import time
from collections.abc import Sequence
from typing import Any

import dfjax
from dfjax.report import cards, charts, controls, pictures, table, tables
from dfjax.report.markup import Safe, join, tag, text
from dfjax.report.run import Run

_SCRIPTS = ("common.js", "charts.js", "pictures.js", "table.js", "main.js")


def make(runs: Sequence[Run], best: str = "") -> str:
    """The page about ``runs``. ``best``: the figure by which a run's best checkpoint is told; empty: by KID.

    Raises:
      ReportError: there is no such figure.
    """
    figures = table.make(runs, best)
    shown = [pictures.read(run, 1 / len(runs)) for run in runs]
    data = {
        "runs": [{"name": run.name, "batch": run.batch_size} for run in runs],
        "groups": charts.GROUPS,
        "charts": charts.make(figures),
        "pictures": [dataclasses.asdict(each) for each in shown],
    }
    names = ", ".join(run.name for run in runs)
    return build(
        title=names if len(names) <= 80 else f"{len(runs)} runs",
        sections=("Runs", "Figures", "Curves", "Pictures", "Config"),
        body=join(
            cards.runs(figures, shown),
            tables.figures(figures),
            controls.curves(runs, data["charts"]),
            controls.pictures(runs, shown),
            tables.config(runs),
        ),
        style=asset("page.css"),
        data=data,
        script="".join(asset(name) for name in _SCRIPTS),
    )


def build(*, title: str, sections: Sequence[str], body: Safe, style: str, data: Any, script: str) -> str:
    """A page of sections, whose ids are their names in small letters. Its script reads ``data``, and no other can run.

    Args:
      data: of JSON's own types, with finite numbers. style, script: made here, with no word of a run in them.
    """
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return string.Template(asset("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        title=text(f"{title} – dfjax report"),
        made=text(f"Made {made} by dfjax {dfjax.__version__}."),
        nav=join(*(join(tag("a", name, href=f"#{name.lower()}"), " ") for name in sections)),
        body=body,
        style=style,
        data=_embedded(data),
        script=script,
    )


def asset(name: str) -> str:
    """A style, script or template of the page."""
    return (importlib.resources.files("dfjax.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    """What a Content-Security-Policy calls an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()


def _embedded(data: Any) -> str:
    """JSON that cannot end the element it is in. ASCII only, so that half a surrogate pair is no trouble either."""
    words = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return words.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
