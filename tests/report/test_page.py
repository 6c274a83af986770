"""The page: whole with little and with much, and nothing that a run says becomes a part of it."""

import json
import math
import re

import pytest

from dfjax.report import page, run
from dfjax.report.markup import Safe, join, tag, text
from tests.report import made_up, parsed

HOSTILE = "</script x </script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;<!--"


def _page(*rooms, best=""):
    return parsed.Page(page.make(run.read_all(list(rooms)), best))


def _chart(made, name):
    return next(chart for chart in made.data["charts"] if chart["name"] == name)


def test_what_was_measured_is_on_the_page_exactly(tmp_path):
    made = _page(made_up.whole(tmp_path / "run"))
    kid = _chart(made, "kid_efficientnet_lite0")
    (curve,) = kid["curves"]
    assert (curve["x"], curve["y"], curve["e"], curve["n"]) == ([50, 100], [0.2, 0.1], [0.01, 0.02], [250, 250])
    assert curve["s"] == [25.0, 50.0]
    assert (kid["real"], kid["better"], kid["group"]) == ([{"run": 0, "y": -0.001, "e": 0.002}], "lower", "Evaluation")
    loss = _chart(made, "train/loss")["curves"][0]
    assert (loss["x"], loss["y"]) == (list(range(1, 101)), [1 / step for step in range(1, 101)])
    assert _chart(made, "data/bad_records")["constant"]
    assert not _chart(made, "train/loss")["constant"]
    assert made.data["runs"] == [{"name": "run", "batch": 8}]


def test_the_table_marks_the_best_and_gives_what_sorts(tmp_path):
    made = _page(made_up.whole(tmp_path / "run"))
    cells = [attributes for name, attributes in made.tags if name == "td" and "data-value" in attributes]
    assert [(each["data-value"], each.get("class")) for each in cells] == [
        ("0.2", None), ("0.5", "best"), ("0.1", "best"), ("0.4", None)
    ]  # fmt: skip
    said = made.text("td")
    assert "0.200 ± 0.010" in said
    assert "0.100 ± 0.020" in said
    assert "-0.0010 ± 0.0020" in said


def test_the_card_says_how_far_a_run_is_and_which_checkpoint_is_best(tmp_path):
    said = _page(made_up.whole(tmp_path / "run")).text()
    for words in ("finished, 100 steps", "12,345", "800", "1m15s", "step 100", "lower is better"):
        assert words in said
    assert "no longer there" not in said
    room = made_up.whole(tmp_path / "other")
    (room / "checkpoints" / "step_100" / "meta").rename(tmp_path / "meta")
    said = _page(room).text()
    assert "step 100 of 100" in said
    assert "its files are no longer there" in said


def test_a_run_with_nothing_yet_is_told_what_to_run(tmp_path):
    room = made_up.run(tmp_path / "my run")
    made = _page(room)
    said = made.text()
    assert made.data["charts"] == []
    assert f"dfjax evaluate --workdir='{room}'" in said
    assert f"dfjax train --config=RECIPE.py --workdir='{room}'" in said
    assert "No figures yet" in said
    assert "train.sample_every_steps" in said
    assert "no figure to tell it by yet" in said


def test_a_checkpoint_without_a_config_makes_a_page(tmp_path):
    made_up.checkpoint(tmp_path / "run", 10)
    made_up.training(tmp_path / "run", {10: 1.0})
    made = _page(tmp_path / "run")
    assert "config.json cannot be read" in made.text()
    checked = [each["value"] for name, each in made.tags if name == "input" and "checked" in each]
    assert "steps" in checked
    assert "images" not in checked


def test_numbers_that_are_none_are_told_and_not_drawn(tmp_path):
    room = made_up.run(tmp_path / "run")
    made_up.training(room, {1: 1.0, 2: "nan", 3: "inf", 5: 0.5})
    made_up.figures(room, [made_up.figure(4, "kid_x", "nan", 0.1), made_up.figure(5, "kid_x", 0.1, "nan")])
    made = _page(room)
    loss = _chart(made, "train/loss")["curves"][0]
    assert (loss["x"], loss["y"], loss["bad"], loss["bads"]) == ([1, 5], [1.0, 0.5], [2, 3], 2)
    assert _chart(made, "kid_x")["curves"][0] == {
        "run": 0, "x": [5], "s": [2.5], "y": [0.1], "e": [None], "n": [250], "bad": [4], "bads": 1
    }  # fmt: skip


def test_a_long_run_makes_a_page_of_less_than_three_megabytes(tmp_path):
    room = made_up.run(tmp_path / "run", train={"num_steps": 100_000})
    names = [f"train/m{i}" for i in range(8)]
    made_up.write_lines(
        room / "metrics.jsonl",
        [{"step": s, "time": float(s), **{name: math.sin(s) + s for name in names}} for s in range(1, 100_001)],
    )
    made = page.make([run.read(room)])
    assert len(made) < 3_000_000
    curve = _chart(parsed.Page(made), "train/m0")["curves"][0]
    assert len(curve["x"]) <= 800
    assert (curve["x"][-1], curve["each"]) == (100_000, 125)
    assert curve["lo"][0] < curve["y"][0] < curve["hi"][0]


def test_nothing_that_a_run_says_becomes_a_part_of_the_page(tmp_path):
    """Two pages that differ only in words have the same elements."""

    def made(name, words):
        room = made_up.whole(tmp_path / name, prompts=[words, "plain"], captions=words)
        made_up.figures(room, [made_up.figure(50, f"{words}kid", 0.1, split=words), made_up.figure(50, "kid_x", 0.2)])
        made_up.write_lines(room / "metrics.jsonl", [{"step": 1, words: 1.0}])
        config = json.loads((room / "config.json").read_text())
        (room / "config.json").write_text(json.dumps(config | {"more": {words: words}}))
        return parsed.Page(page.make([run.read(room, words)]))

    hostile, plain = made("<b onclick=alert(1)>&lt;", HOSTILE), made("plain", "words")
    ours = [(name, sorted(attributes)) for name, attributes in plain.tags]
    assert [(name, sorted(attributes)) for name, attributes in hostile.tags] == ours
    assert [name for name, _ in ours].count("script") == 2
    assert not any(each.startswith("on") for _, attributes in hostile.tags for each in attributes)
    # And yet all of it is there to be read.
    assert hostile.data["runs"][0]["name"] == HOSTILE
    assert hostile.data["pictures"][0]["grid"]["prompts"][0] == HOSTILE
    assert hostile.data["pictures"][0]["nearest"][0]["rows"][0]["captions"][0] == HOSTILE
    assert _chart(hostile, HOSTILE)["curves"]
    assert HOSTILE in hostile.text("bdi")
    assert "<b onclick=alert(1)>&lt;" in hostile.text("p")


def test_a_policy_lets_only_the_pages_own_script_and_style_run(tmp_path):
    made = _page(made_up.run(tmp_path / "run"))
    policy = next(each["content"] for name, each in made.tags if each.get("http-equiv") == "Content-Security-Policy")
    told = dict(part.strip().split(" ", 1) for part in policy.rstrip("; ").split(";"))
    assert told["default-src"] == "'none'"
    assert told["img-src"] == "data:"
    script = [data for name, data in made.texts if name == "script"][1]
    style = next(data for name, data in made.texts if name == "style")
    assert told["script-src"] == f"'{page._hash(script)}'"
    assert told["style-src"] == f"'{page._hash(style)}'"
    assert "unsafe" not in policy
    assert not any(each in ("src", "href") and not str(value).startswith("#")
                   for _, attributes in made.tags for each, value in attributes.items())  # fmt: skip


def test_half_a_character_is_no_trouble(tmp_path):
    room = made_up.whole(tmp_path / "run")
    (room / "eval" / "grids" / "prompts.json").write_text('{"prompts": ["\\ud800", "b"], "seeds": 2, "resolution": 8}')
    made = page.make([run.read(room)]).encode("utf-8", "replace").decode()
    assert parsed.Page(made).data["pictures"][0]["grid"]["prompts"][0] == "\ud800"


def test_several_runs_have_one_chart_a_metric(tmp_path):
    rooms = [made_up.whole(tmp_path / name) for name in ("one", "two")]
    made = _page(*rooms)
    assert [curve["run"] for curve in _chart(made, "train/loss")["curves"]] == [0, 1]
    assert len([chart for chart in made.data["charts"] if chart["name"] == "train/loss"]) == 1
    assert made.text("bdi").count("one") >= 4
    assert "Config: what differs between the runs" in made.text("h2")


def test_ids_are_unique_and_labels_lead_to_something(tmp_path):
    made = _page(made_up.whole(tmp_path / "run"))
    ids = [attributes["id"] for _, attributes in made.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = {attributes[key] for _, attributes in made.tags for key in ("for", "aria-labelledby") if key in attributes}
    asked |= {attributes["href"][1:] for name, attributes in made.tags if name == "a"}
    assert asked
    assert asked <= set(ids)


def test_every_colour_of_a_run_is_in_the_style():
    style = page.asset("page.css")
    for place in range(8):
        assert f".run-{place} {{" in style
        assert len(re.findall(rf"--c{place}: #", style)) == 2


def test_markup_is_only_what_was_made_as_markup():
    assert text("<b>") == "&lt;b&gt;"
    assert text(Safe("<b>")) == "<b>"
    assert join("<", None, ["a", ("b",)]) == "&lt;ab"
    assert (
        tag("p", "x & y", class_='a"b', data_value=1, title=None) == '<p class="a&quot;b" data-value="1">x &amp; y</p>'
    )


@pytest.mark.parametrize("name", page._SCRIPTS)
def test_the_scripts_make_no_markup_of_words(name):
    script = page.asset(name)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</script|<!--", script
    )
