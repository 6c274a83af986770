"""Ranks: 1 is best, chance is in the middle, and ties are no advantage."""

import numpy as np
import pytest

from dfjax.evals.metrics.retrieval import retrieval


def test_the_rank_is_the_place_among_the_sorted():
    similarities = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.1], [0.1, 0.2, 0.3]])
    assert retrieval(similarities, np.array([0, 2, 1])).ranks.tolist() == [1, 3, 2]


@pytest.mark.parametrize("captions", [2, 7, 100])
def test_what_tells_nothing_scores_chance(captions):
    found = retrieval(np.zeros((40, captions)), np.arange(40) % captions)
    assert found.mean_rank.value == found.chance.mean_rank == (captions + 1) / 2
    assert found.recall_at_1.value == pytest.approx(1 / captions)
    assert found.recall_at_5.value == pytest.approx(min(1, 5 / captions))
    random = retrieval(np.random.default_rng(0).normal(size=(4000, captions)), np.arange(4000) % captions).ranks
    assert abs(random.mean() - (captions + 1) / 2) < 3 * random.std() / 4000**0.5


def test_pictures_of_one_caption_are_no_independent_draws():
    similarities = np.random.default_rng(0).normal(size=(20, 30))
    once = retrieval(similarities, np.arange(20)).mean_rank
    again = retrieval(np.repeat(similarities, 8, axis=0), np.repeat(np.arange(20), 8)).mean_rank
    assert again.value == pytest.approx(once.value)
    assert again.stderr == pytest.approx(once.stderr)
