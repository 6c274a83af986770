"""Sheets are found, cut, made small and thinned without a picture changing its place."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dfjax.core import images
from dfjax.report import pictures, run, sheets
from tests.report import made_up


def _decoded(sheet):
    with Image.open(io.BytesIO(base64.b64decode(sheet.uri.split(",")[1]))) as picture:
        return np.asarray(picture)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(4, 9), st.integers(1, 4), st.sampled_from([0, 2]))
def test_a_grid_is_taken_apart_as_it_was_made(rows, columns, side, scale, gap):
    cells = made_up.cells(rows * columns, side)
    sheet = images.grid(cells, columns, scale=scale, gap=gap)
    layout = sheets.find_layout(sheet.shape[1], sheet.shape[0], side, rows, columns)
    assert layout.scale * side + layout.gap == scale * side + gap
    if layout.gap == gap:
        found = sheets.compact(sheet, layout).reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        np.testing.assert_array_equal(found.reshape(cells.shape), cells)


@pytest.mark.parametrize("side", [8, 32, 64, 128])
def test_without_rows_and_columns_the_scale_of_evaluation_is_taken(side):
    sheet = images.grid(made_up.cells(6, side), 3, scale=max(1, 64 // side))
    layout = sheets.find_layout(sheet.shape[1], sheet.shape[0], side)
    assert (layout.rows, layout.columns, layout.gap) == (2, 3, 2)


def test_what_fits_no_layout_is_shown_as_it_is(tmp_path):
    pixels = made_up.cells(1, 37)[0]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    sheet = sheets.load(tmp_path / "x.png", 8, 2, 2)
    assert sheet.side == 0
    np.testing.assert_array_equal(_decoded(sheet), pixels)


def test_large_pictures_are_made_smaller_in_their_places(tmp_path):
    cells = np.stack([np.full((256, 256, 3), shade, np.uint8) for shade in (0, 80, 160, 240)])
    made_up.sheet(tmp_path / "x.png", cells, 2)
    sheet = sheets.load(tmp_path / "x.png", 256, 2, 2)
    assert (sheet.side, sheet.rows, sheet.columns) == (128, 2, 2)
    centres = _decoded(sheet)[64::128, 64::128, 0]
    np.testing.assert_allclose(centres, [[0, 80], [160, 240]], atol=3)


def test_what_is_no_picture_is_none(tmp_path):
    Image.fromarray(made_up.cells(1)[0]).save(tmp_path / "x.gif")
    (tmp_path / "x.gif").rename(tmp_path / "gif.png")
    made_up.sheet(tmp_path / "cut.png", made_up.cells(4), 2)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:100])
    (tmp_path / "folder.png").mkdir()
    assert [sheets.read(tmp_path / f"{name}.png") for name in ("gif", "cut", "folder", "missing")] == [None] * 4


def test_pictures_too_large_for_a_page_are_refused(tmp_path, monkeypatch):
    made_up.sheet(tmp_path / "x.png", made_up.cells(4), 2)
    monkeypatch.setattr(sheets, "_MOST_PIXELS", 10)
    assert sheets.read(tmp_path / "x.png") is None


def test_grids_strips_and_neighbours_are_all_found(tmp_path):
    found = pictures.read(run.read(made_up.whole(tmp_path / "run")))
    assert (found.grid.steps, found.grid.source, found.grid.prompts) == ([50, 100], "eval/grids", made_up.PROMPTS)
    grid = found.grid.sheets[1]
    assert (grid.rows, grid.columns, grid.side) == (2, 2, 8)
    np.testing.assert_array_equal(_decoded(grid)[8:16, :8], made_up.cells(4, seed=100)[2])
    strip = found.films.sheets[0]
    assert (strip.rows, strip.columns) == (1, 3)
    assert [each.step for each in found.nearest] == [50, 100]
    assert found.nearest[0].rows[1] == pictures.Neighbours("a green banana", 0.25, ["banana", "plum"])


def test_without_grids_of_evaluation_those_of_training_are_shown(tmp_path):
    room = made_up.run(tmp_path / "run")
    made_up.sheet(room / "samples" / "step_20.png", made_up.cells(8), 4, scale=8)
    found = pictures.read(run.read(room))
    assert (found.grid.source, found.grid.steps, found.grid.prompts) == ("samples", [20], made_up.PROMPTS)
    assert (found.grid.sheets[0].rows, found.grid.sheets[0].columns) == (2, 4)
    assert (found.films, found.nearest) == (None, [])


def test_of_many_checkpoints_the_first_the_last_and_some_between_are_shown(tmp_path):
    room = made_up.run(tmp_path / "run")
    for step in range(1, 61):
        made_up.sheet(room / "samples" / f"step_{step}.png", made_up.cells(8, seed=step), 4, scale=8)
    found = pictures.read(run.read(room)).grid
    assert (found.steps[0], found.steps[-1], len(found.steps), found.left_out) == (1, 60, 24, 36)
    assert max(np.diff(found.steps)) <= 3
    # Its share of the page is smaller, and so is what is shown.
    few = pictures.read(run.read(room), share=6 * len(found.sheets[0].uri) / 6_000_000).grid
    assert (few.steps[0], few.steps[-1]) == (1, 60)
    assert 4 <= len(few.steps) <= 6


def test_damaged_words_about_pictures_cost_only_themselves(tmp_path):
    room = made_up.whole(tmp_path / "run")
    (room / "eval" / "grids" / "prompts.json").write_text("[" * 100_000)
    (room / "eval" / "nearest" / "step_50.json").write_text('[{"prompt": 3, "distance": NaN, "neighbours": "x"}, 7]')
    (room / "eval" / "grids" / "step_50.png").write_bytes(b"")
    found = pictures.read(run.read(room))
    assert (found.grid.steps, found.grid.left_out) == ([100], 1)
    assert found.nearest[0].rows == [pictures.Neighbours("?", None, []), pictures.Neighbours("", None, [])]
    (room / "eval" / "grids" / "prompts.json").write_text(json.dumps({"prompts": ["x" * 9999], "resolution": -1}))
    assert len(pictures.read(run.read(room)).grid.prompts[0]) < 1000
