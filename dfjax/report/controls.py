"""The sections that the page's script fills, curves and pictures: their switches, and words where there is nothing."""

from collections.abc import Sequence
from typing import Any

from dfjax.report.markup import Safe, tag
from dfjax.report.parts import command, run_name, section, switch
from dfjax.report.pictures import Pictures
from dfjax.report.run import Run


def curves(runs: Sequence[Run], charts: Sequence[Any]) -> Safe:
    """What the script draws the curves into, and its switches."""
    if not charts:
        return section("curves", "Curves", tag("p", "No curves yet: training writes them.", class_="empty"))
    axes = [("images", "images seen"), ("steps", "steps"), ("time", "training time")]
    # Without a batch size nobody knows how many pictures a step saw.
    first = "images" if all(run.batch_size for run in runs) else "steps"
    switches = [
        tag("label", switch("radio", name="axis", value=value, checked=value == first), f" {label}")
        for value, label in axes
    ]
    controls = tag(
        "div",
        tag("fieldset", tag("legend", "Against"), switches),
        tag("fieldset", tag("legend", "Values"), tag("label", switch("checkbox", id="log"), " log scale")),
        tag(
            "fieldset",
            tag("legend", "Smoothing of training"),
            tag(
                "label",
                tag("span", "Smoothing", class_="hidden"),
                switch("range", id="smooth", min=0, max=99, value=60),
            ),
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
    return section("curves", "Curves", controls, note, tag("div", id="charts"))


def _toggle(runs: Sequence[Run], place: int) -> Safe:
    return tag("label", switch("checkbox", checked=True, class_="toggle", value=place), " ", run_name(runs, place))


def pictures(runs: Sequence[Run], shown: Sequence[Pictures]) -> Safe:
    """What the script shows pictures in, with the slider over checkpoints."""
    if not any(each.grid or each.films or each.nearest for each in shown):
        hint = tag("p", "No pictures yet. What draws them: ", command(runs[0], "evaluate"), class_="empty")
        return section("pictures", "Pictures", hint)
    controls = tag(
        "div",
        tag(
            "fieldset",
            tag("legend", "Show"),
            tag("label", switch("radio", name="view", value="grid", checked=True), " one checkpoint"),
            tag("label", switch("radio", name="view", value="film"), " a film of all"),
        ),
        tag(
            "fieldset",
            tag("legend", tag("label", "Checkpoint", for_="checkpoint")),
            tag("button", "▶ play", type="button", id="play"),
            switch("range", id="checkpoint", min=0, max=0, value=0),
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
    return section("pictures", "Pictures", controls, tag("div", id="grids"), tag("div", id="films"),
                    tag("div", id="nearest"))  # fmt: skip
