"""Ranks: 1 is best, chance is in the middle, and ties are no advantage."""

import numpy as np
import pytest

from dfjax.evals.metrics import retrieval


def test_the_rank_is_the_place_among_the_sorted():
    likenesses = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.1], [0.1, 0.2, 0.3]])
    assert retrieval.ranks(likenesses, np.array([0, 2, 1])).tolist() == [1, 3, 2]


@pytest.mark.parametrize("captions", [2, 7, 100])
def test_what_tells_nothing_scores_chance(captions):
    found = retrieval.scores(np.zeros((40, captions)), np.arange(40) % captions)
    assert found["rank"].value == (captions + 1) / 2
    assert found["recall_1"].value == pytest.approx(1 / captions)
    assert found["recall_5"].value == pytest.approx(min(1, 5 / captions))
    likenesses = np.random.default_rng(0).normal(size=(4000, captions))
    found = retrieval.ranks(likenesses, np.arange(4000) % captions)
    assert abs(found.mean() - (captions + 1) / 2) < 3 * found.std() / 4000**0.5


def test_shares_count_pictures_whose_caption_comes_first():
    likenesses = np.array([[3.0, 2, 1, 0, -1, -2], [0, 3, 2, 1, -1, -2], [0, 5, 4, 3, 2, 1]])
    found = retrieval.scores(likenesses, np.array([0, 0, 0]))
    assert found["recall_1"].value == pytest.approx(1 / 3)
    assert found["recall_5"].value == pytest.approx(2 / 3)
    assert found["mrr"].value == pytest.approx((1 + 1 / 4 + 1 / 6) / 3)


def test_pictures_of_one_caption_are_no_independent_draws():
    rng = np.random.default_rng(0)
    likenesses = rng.normal(size=(20, 30))
    once = retrieval.scores(likenesses, np.arange(20))
    again = retrieval.scores(np.repeat(likenesses, 8, axis=0), np.repeat(np.arange(20), 8))
    assert again["rank"].value == pytest.approx(once["rank"].value)
    assert again["rank"].stderr == pytest.approx(once["rank"].stderr)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 pictures need a row"):
        retrieval.ranks(np.zeros((2, 4)), np.zeros(3, int))
    with pytest.raises(ValueError, match="not numbers"):
        retrieval.ranks(np.full((2, 4), np.nan), np.zeros(2, int))
