"""The page in a real browser: its script runs, loads nothing, and does what its switches say."""

import pytest

from dfjax.report import page, run
from tests.report import browser, made_up
from tests.report.test_page import HOSTILE

if browser.find() is None:
    pytest.skip("no Chromium on the PATH: `apt-get install chromium`", allow_module_level=True)


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.start(browser.find(), tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A page about two runs, all of whose words are hostile."""
    folder = tmp_path_factory.mktemp("runs")
    rooms = [made_up.whole(folder / name, prompts=[HOSTILE, "plain"], captions=HOSTILE) for name in ("one", "two")]
    runs = [run.read(room, f"{room.name} {HOSTILE}") for room in rooms]
    (folder / "page.html").write_text(page.make(runs))
    return folder / "page.html"


def test_nothing_is_loaded_and_nothing_goes_wrong(window, two):
    window.open(two)
    assert window.said == []
    assert [each for each in window.requests if not each.startswith("data:image/")] == [two.as_uri()]
    assert window.run("document.querySelectorAll('script').length") == 2
    assert window.run("document.querySelectorAll('img[onerror]').length") == 0
    assert HOSTILE in window.run("document.body.innerText")


def test_a_script_that_is_not_the_pages_own_does_not_run(window, two):
    window.open(two)
    window.run("document.body.append(Object.assign(document.createElement('script'), {text: 'window.owned = 1'})), 0")
    assert window.run("window.owned === undefined")
    assert any("Content Security Policy" in words for words in window.said)


def test_every_metric_is_drawn_for_every_run(window, two):
    window.open(two)
    window.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    window.run("new Promise((done) => setTimeout(done, 300))")
    names = window.run(
        "[...document.querySelectorAll('.chart')].map((each) => each.querySelector('figcaption').firstChild.data)"
    )
    assert sorted(names) == sorted(window.run("DATA.charts.map((chart) => chart.name)"))
    drawn = window.run(
        "[...document.querySelectorAll('.chart svg')]"
        ".map((each) => each.querySelectorAll('path.curve:not(.faint)').length)"
    )
    assert drawn == [2] * len(names)
    # Both runs have the same figures of real pictures, which are one line.
    assert window.run("document.querySelectorAll('line.real').length") == 1
    assert window.run("document.querySelector('.real-name').textContent") == "real -0.001"
    window.run("document.querySelector('input.toggle').click()")
    assert window.run("document.querySelectorAll('.chart svg')[0].querySelectorAll('path.curve').length") == 1


def test_values_are_told_to_the_pointer_and_to_the_keyboard(window, two):
    window.open(two)
    told = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText"
    assert window.run(told) == ""
    window.run("document.querySelector('.chart').focus()")
    window.key("End")
    assert "0.1 ± 0.02, 250 pictures step 100, 800 images" in window.run(told)
    window.key("ArrowLeft")
    assert "0.2 ± 0.01, 250 pictures step 50, 400 images" in window.run(told)
    window.run("document.querySelector('.chart').blur()")
    assert window.run(told) == ""
    x, y = window.run(
        "(() => { scrollTo({top: 0, behavior: 'instant'}); const chart = document.querySelector('.chart svg');"
        "chart.scrollIntoView({block: 'center', behavior: 'instant'}); const box = chart.getBoundingClientRect();"
        "return [box.right - 12, box.top + 60]; })()"
    )
    window.point(x, y)
    assert "0.1 ± 0.02" in window.run(told)


def test_the_switches_draw_the_curves_anew(window, two):
    window.open(two)
    loss = "CHARTS.find((chart) => chart.name === 'train/loss')"
    path = f"{loss}.picture.querySelector('path.curve:not(.faint)').getAttribute('d')"
    last = f"{loss}.shown[0].points.at(-1)"
    seen = {window.run(path)}
    assert window.run(f"{last}.x") == 800
    weights = [0.6 ** (100 - step) for step in range(1, 101)]
    smooth = sum(weight / step for step, weight in enumerate(weights, 1)) / sum(weights)
    assert window.run(f"{last}.line") == pytest.approx(smooth, rel=1e-9)
    for switch, x in (("[value=steps]", 100), ("[value=time]", 50)):
        window.run(f"document.querySelector('input{switch}').click()")
        assert window.run(f"{last}.x") == x
    window.run("document.getElementById('log').click()")
    seen.add(window.run(path))
    window.run("(() => { const input = byId('smooth'); input.value = 0; input.dispatchEvent(new Event('input')); })()")
    assert window.run(f"{last}.line") == 0.01
    assert window.run(f"{loss}.picture.querySelectorAll('.faint').length") == 0
    seen.add(window.run(path))
    assert len(seen) == 3
    assert window.said == []


def test_the_slider_goes_over_checkpoints_by_the_keyboard(window, two):
    window.open(two)
    # Of the picture in the second row and the second column.
    pixel = (
        "(() => { const canvas = document.querySelectorAll('#grids canvas')[3];"
        "return [...canvas.getContext('2d').getImageData(3, 2, 1, 1).data].slice(0, 3); })()"
    )
    wait = "new Promise((done) => setTimeout(done, 100))"
    assert window.run("byId('checkpoint-value').textContent") == "step 100 (2 of 2)"
    assert window.run(pixel) == made_up.cells(4, seed=100)[3][2, 3].tolist()
    window.run("byId('checkpoint').focus()")
    window.key("ArrowLeft")
    window.run(wait)
    assert window.run("byId('checkpoint-value').textContent") == "step 50 (1 of 2)"
    assert window.run(pixel) == made_up.cells(4, seed=50)[3][2, 3].tolist()
    assert window.run("document.querySelector('#grids canvas').getAttribute('aria-label')") == (
        f"{HOSTILE}, picture 1, step 50"
    )
    assert window.run("document.querySelectorAll('#films canvas').length") == 2 * 3
    assert window.run("document.querySelectorAll('#nearest canvas').length") == 2 * 6


def test_a_film_shows_a_prompt_at_every_checkpoint(window, two):
    window.open(two)
    window.run("document.querySelector('input[value=film]').click()")
    # Of each of two runs: two prompts at two checkpoints.
    assert window.run("document.querySelectorAll('#grids canvas').length") == 2 * 2 * 2
    window.run("(() => { byId('prompt').value = 1; byId('prompt').dispatchEvent(new Event('change')); })()")
    window.run("new Promise((done) => setTimeout(done, 100))")
    labels = window.run(
        "[...document.querySelectorAll('#grids canvas')].map((each) => each.getAttribute('aria-label'))"
    )
    assert labels[:4] == [f"plain, seed {seed}, step {step}" for seed in (1, 2) for step in (50, 100)]
    assert window.run("byId('at').checkVisibility()") is False


def test_a_heading_sorts_and_sorts_back(window, two):
    window.open(two)
    cells = "[...document.querySelectorAll('#figures-table tbody tr')].map((row) => row.cells[2].dataset.value)"
    assert window.run(cells) == ["0.2", "0.1", "0.2", "0.1"]
    window.run("document.querySelectorAll('#figures-table thead button')[2].focus()")
    window.key("Enter")
    assert window.run(cells) == ["0.1", "0.1", "0.2", "0.2"]
    window.key("Enter")
    assert window.run(cells) == ["0.2", "0.2", "0.1", "0.1"]
    assert window.run("document.querySelectorAll('#figures-table thead th')[2].ariaSort") == "descending"


@pytest.mark.parametrize("width", [1200, 400])
def test_it_is_as_wide_as_the_window_and_as_dark_as_is_wished(window, two, width):
    shades = []
    for dark in (False, True):
        window.open(two, width, dark)
        assert window.run("document.documentElement.scrollWidth") <= width
        colours = window.run(
            "(() => { const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]; })()"
        )
        shades.append([sum(map(int, colour[4:-1].split(","))) for colour in colours])
    (light_back, light_ink), (dark_back, dark_ink) = shades
    assert light_back > 600 > 200 > light_ink
    assert dark_back < 200 < 600 < dark_ink


def test_a_page_with_nothing_to_show_runs_too(window, tmp_path):
    (tmp_path / "page.html").write_text(page.make([run.read(made_up.run(tmp_path / "run"))]))
    window.open(tmp_path / "page.html", width=400)
    assert window.said == []
    assert window.run("document.documentElement.scrollWidth") <= 400
    assert window.run("document.querySelector('[role=alert]') === null")
    assert "dfjax evaluate" in window.run("document.body.innerText")
