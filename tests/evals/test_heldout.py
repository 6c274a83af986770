"""Held-out pairs: the right picture against the wrong ones."""

import numpy as np
import pytest

from dfjax.evals.errors import EvaluationError
from dfjax.evals.evaluators.heldout import by_caption, require_wrong_ones
from dfjax.evals.metrics.inputs import unit
from dfjax.evals.metrics.neighbours import squared_distances

REAL = np.eye(4)
CAPTIONS = ("apple", "banana", "apple", "pear")


def _far(drawn):
    """Distances of what is scaled to length 1."""
    return np.sqrt(squared_distances(unit(drawn), REAL))


def test_what_is_like_its_own_picture_wins_against_all_others():
    right, wrong, win = by_caption(_far(REAL[[1, 3]] * 7), np.array([1, 3]), CAPTIONS)
    np.testing.assert_allclose(right, 0, atol=1e-7)
    np.testing.assert_allclose(wrong, 2**0.5)
    np.testing.assert_allclose(win, 1)


def test_one_caption_has_no_wrong_pictures():
    require_wrong_ones(CAPTIONS, "heldout")
    with pytest.raises(EvaluationError, match="two captions at least"):
        require_wrong_ones(("apple", "apple"), "heldout")


def test_records_of_one_caption_are_one_group():
    right, _, _ = by_caption(_far(REAL[[0, 2, 1]]), np.array([0, 2, 1]), CAPTIONS)
    assert len(right) == 2


def test_what_tells_nothing_is_at_chance():
    # As far from each: a tie counts half.
    right, wrong, win = by_caption(_far(np.ones((4, 4))), np.arange(4), CAPTIONS)
    np.testing.assert_allclose(right, wrong)
    np.testing.assert_allclose(win, 0.5)


def test_another_picture_of_the_same_caption_is_neither_right_nor_wrong():
    _, wrong, win = by_caption(_far(REAL[[2]]), np.array([0]), CAPTIONS)
    # Nearest to the other apple, at the same distance from its own and from the two wrong ones.
    np.testing.assert_allclose(win, 0.5)
    np.testing.assert_allclose(wrong, 2**0.5)


def test_pictures_of_one_caption_count_together():
    right, _, win = by_caption(_far(REAL[[0, 1, 1]]), np.array([0, 0, 1]), CAPTIONS)
    assert right.tolist() == pytest.approx([2**0.5 / 2, 0], abs=1e-7)
    assert win.tolist() == pytest.approx([(1 + 0.25) / 2, 1])
