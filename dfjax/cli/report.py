"""dfjax report RUN [RUN ...] [--out=report.html] [--best=kid_efficientnet_lite0]

Writes one HTML page about one run or several, and prints its path: curves of all metrics, the best checkpoint of each
run, figures by checkpoint, sample grids and films, and in what their configs differ. It needs no server and no network.

    --json     print the figures and the best checkpoints as one JSON object, and write no page
"""

import json
import logging
from pathlib import Path

from absl import flags

from dfjax.cli import app, pages

_OUT = flags.DEFINE_string("out", "report.html", "page to write")
_BEST = flags.DEFINE_string(
    "best", "", "figure by which the best checkpoint is told; empty: kid_efficientnet_lite0, or what there is"
)
_JSON = flags.DEFINE_bool("json", False, "print one JSON object instead")

_log = logging.getLogger(__name__)


def main(rest: list[str]) -> None:
    """Read the runs, write the page."""
    if not rest:
        raise app.UsageError("name the work directories of runs: dfjax report RUN [RUN ...]")
    out = Path(_OUT.value)
    if not _JSON.value:
        pages.check_out(out)
    import jax

    # The work is the host's: no accelerator is taken from a run that trains.
    jax.config.update("jax_platforms", "cpu")
    from dfjax.core import storage
    from dfjax.report import page, run, table

    runs = run.read_all([Path(each) for each in rest])
    if _JSON.value:
        print(json.dumps(table.to_json(table.make(runs, _BEST.value))))
        return
    made = page.make(runs, _BEST.value).encode("utf-8", "replace")
    storage.replace(out, made)
    _log.info("wrote %s, %s; open it in a browser", out, storage.size_words(len(made)))
    print(out)
