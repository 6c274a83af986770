"""Recolouring: exact in hue, true in chroma."""

import colorsys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from dfjax.datasets import recolour

pixels = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=16)


def _unit(values) -> np.ndarray:
    return np.array(values, np.float64)[None] / 255


@hypothesis.given(pixels, st.sampled_from(sorted(recolour.HUES)))
def test_hue_is_exact_and_chroma_is_kept(values, colour):
    before = _unit(values)
    after = recolour.recolour(before, colour)
    assert after.min() >= 0
    assert after.max() <= 1
    np.testing.assert_allclose(recolour.chroma(after), recolour.chroma(before), atol=1e-6)
    turned = recolour.hue_degrees(after)[recolour.chroma(before) > 0]
    off = (turned - recolour.HUES[colour].centre + 180) % 360 - 180
    assert np.abs(off).max(initial=0) < 1


@hypothesis.given(pixels, st.sampled_from(sorted(recolour.HUES)))
def test_luma_moves_only_as_far_as_the_gamut_requires(values, colour):
    before = _unit(values)
    after = recolour.recolour(before, colour)
    moved = np.abs(after @ recolour.LUMA - before @ recolour.LUMA) > 1e-5
    at_the_edge = (after.max(axis=-1) > 1 - 1e-5) | (after.min(axis=-1) < 1e-5)
    assert np.all(at_the_edge[moved])


@hypothesis.given(st.integers(0, 255), st.sampled_from(sorted(recolour.HUES)))
def test_greys_stay_grey(level, colour):
    grey = _unit([(level, level, level)])
    np.testing.assert_allclose(recolour.recolour(grey, colour), grey, atol=1e-6)


@hypothesis.given(st.tuples(*[st.integers(0, 255)] * 3))
def test_hue_is_that_of_hsv(value):
    expected = colorsys.rgb_to_hsv(*_unit([value])[0, 0])[0] * 360
    assert recolour.hue_degrees(_unit([value]))[0, 0] == pytest.approx(expected, abs=1e-6)


def test_windows_hold_their_centres_and_nothing_twice():
    for degrees in np.arange(0, 360, 0.5):
        assert sum(hue.holds(degrees) for hue in recolour.HUES.values()) <= 1
    assert all(hue.holds(hue.centre) and hue.holds(hue.centre - 360) for hue in recolour.HUES.values())


def test_only_what_has_enough_colour_is_recolourable():
    def picture(rgb, alpha=255):
        return np.full((4, 4, 4), (*rgb, alpha), np.uint8)

    assert recolour.is_recolourable(picture((200, 30, 30)))
    assert not recolour.is_recolourable(picture((200, 180, 170)))
    assert not recolour.is_recolourable(picture((200, 30, 30), alpha=0))
