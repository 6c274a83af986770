"""The page about a sweep, in words and in a real browser."""

import json
import re

import pytest

from dfjax.sweeps import page, table
from tests.report import browser
from tests.report import made_up as runs
from tests.sweeps import made_up

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs of two differing keys, one of them words that are markup, and one run that is new."""
    folder = tmp_path_factory.mktemp("made")
    lines = [
        {"optim.learning_rate": rate, "sample.negative_prompt": words}
        for rate, words in ((1e-3, "plain"), (1e-2, HOSTILE), (1e-1, "plain"), (1e-4, "plain"))
    ]
    sweep = made_up.sweep(folder, *lines)
    for line, loss in zip(sweep.lines, (0.5, 0.25, 0.75), strict=False):
        made_up.trained(sweep.workdir(line).path, {10: 1.0, 20: loss}, saved=20)
        runs.figures(sweep.workdir(line).path, [runs.figure(20, "caption_top1", loss)])
    return sweep


def test_it_has_the_coordinates_of_every_run_and_no_markup_of_theirs(made):
    text = page.make(table.make(made))
    assert HOSTILE not in text
    assert text.count("<script") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["sweep"]["keys"] == ["learning_rate", "negative_prompt"]
    assert [(row["values"][0], row["best"], row["state"]) for row in data["sweep"]["rows"]] == [
        (0.01, 0.25, "finished"),
        (0.001, 0.5, "finished"),
        (0.1, 0.75, "finished"),
        (0.0001, None, "new"),
    ]
    assert [run["name"] for run in data["runs"]] == [made.line(number).name for number in (2, 1, 3)]


def test_what_a_line_leaves_alone_has_the_recipes_value(tmp_path):
    sweep = made_up.sweep(tmp_path, {"model.width": 64}, {})
    data = re.search(r'id="data">(.*?)</script>', page.make(table.make(sweep)))[1]
    assert [row["values"] for row in json.loads(data)["sweep"]["rows"]] == [[64], [32]]


def test_a_sweep_of_which_nothing_ran_has_a_page_too(tmp_path):
    text = page.make(table.make(made_up.sweep(tmp_path, {"model.width": 64}, {"model.width": 48})))
    assert "No run has a validation/loss yet." in text
    assert "No curves yet" in text


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if browser.find() is None:
        pytest.skip("no Chromium on the PATH: `apt-get install chromium`")
    with browser.start(browser.find(), tmp_path_factory.mktemp("profile")) as window:
        yield window


def test_a_browser_draws_a_line_a_run_and_loads_nothing(window, made, tmp_path):
    (tmp_path / "page.html").write_text(page.make(table.make(made)))
    window.open(tmp_path / "page.html")
    assert window.said == []
    assert window.requests == [(tmp_path / "page.html").as_uri()]
    assert window.run("document.querySelector('[role=alert]') === null")
    assert window.run("document.querySelectorAll('#parallel path.run').length") == 3
    assert window.run("document.querySelectorAll('#parallel line.axis').length") == 3
    assert window.run("document.querySelectorAll('.chart path.curve:not(.faint)').length") >= 3
    # The best is drawn last, and lowest on the axis of the metric.
    ends = window.run(
        "[...document.querySelectorAll('#parallel path.run')]"
        ".map((path) => Number(path.getAttribute('d').split(/[ L]/).at(-1)))"
    )
    assert ends == sorted(ends)
    assert window.run("document.querySelectorAll('#parallel path.run.best').length") == 1


def test_a_line_is_told_to_the_pointer_and_a_heading_sorts(window, made, tmp_path):
    (tmp_path / "page.html").write_text(page.make(table.make(made)))
    window.open(tmp_path / "page.html")
    x, y = window.run(
        "(() => { const line = [...document.querySelectorAll('#parallel path.reach')].at(-1);"
        "line.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const at = line.getPointAtLength(line.getTotalLength() * 0.97).matrixTransform(line.getScreenCTM());"
        "return [at.x, at.y]; })()"
    )
    window.point(x, y)
    told = window.run("document.getElementById('tip').innerText")
    assert "validation/loss 0.25" in told
    assert HOSTILE[:20] in told
    cells = "[...document.querySelectorAll('#figures-table tbody tr')].map((row) => row.cells[0].dataset.value)"
    assert window.run(cells) == ["2", "1", "3", "4"]
    window.run("document.querySelectorAll('#figures-table thead button')[0].click()")
    assert window.run(cells) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("width", [1200, 400])
def test_it_is_as_wide_as_the_window(window, made, tmp_path, width):
    (tmp_path / "page.html").write_text(page.make(table.make(made)))
    window.open(tmp_path / "page.html", width)
    assert window.run("document.documentElement.scrollWidth") <= width
