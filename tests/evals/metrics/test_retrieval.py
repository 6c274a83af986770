"""Retrieval: ranks, ties, and chance."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics.retrieval import Chance, cosine, retrieval

FIGURES = ("mean_rank", "median_rank", "recall_at_1", "recall_at_5", "mean_reciprocal_rank")


def _values(found):
    return [getattr(found, name).value for name in FIGURES]


def _chance(found):
    return [getattr(found.chance, name) for name in FIGURES]


def test_the_most_similar_caption_has_rank_1():
    similarities = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.9, 0.1, 0.5]])
    found = retrieval(similarities, np.array([0, 1, 2]))
    np.testing.assert_array_equal(found.ranks, [1, 3, 2])
    assert _values(found) == pytest.approx([2.0, 2.0, 1 / 3, 1.0, (1 + 1 / 3 + 1 / 2) / 3])


@pytest.mark.parametrize("same", ["pictures", "captions", "both", "zero"])
def test_an_embedding_that_says_nothing_scores_chance(same):
    rng = np.random.default_rng(0)
    pictures, captions = rng.normal(size=(37, 16)), rng.normal(size=(37, 16))
    if same in ("pictures", "both"):
        pictures[:] = pictures[0]
    if same in ("captions", "both"):
        captions[:] = captions[0]
    if same == "zero":
        pictures[:] = 0
    for kind in (np.float32, np.float64):
        found = retrieval(cosine(pictures.astype(kind), captions.astype(kind)), np.arange(37))
        assert _values(found) == pytest.approx(_chance(found))


def test_random_similarities_score_chance_within_their_errors():
    rng = np.random.default_rng(0)
    inside, runs = np.zeros(5), 150
    for _ in range(runs):
        found = retrieval(rng.normal(size=(400, 40)), rng.integers(0, 40, 400))
        for i, (name, chance) in enumerate(zip(FIGURES, _chance(found), strict=True)):
            figure = getattr(found, name)
            inside[i] += abs(figure.value - chance) <= 2 * figure.stderr
    assert (inside / runs > 0.88).all(), inside


def test_chance_is_that_of_a_random_order():
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 41, 100_000)
    chance = Chance.of(40)
    assert chance.mean_rank == chance.median_rank == 20.5
    assert chance.recall_at_1 == 1 / 40
    assert chance.recall_at_5 == 5 / 40
    assert chance.mean_reciprocal_rank == pytest.approx(np.mean(1 / ranks), rel=0.02)
    assert Chance.of(3).recall_at_5 == 1.0


def test_a_tie_is_the_mean_over_its_orders():
    # One caption is better, and two tie with the right one: its rank is 2, 3 or 4; of six, five are taken.
    found = retrieval(np.array([[0.5, 0.5, 0.9, 0.5, 0.1, 0.0]]), np.array([1]))
    assert _values(found) == pytest.approx([3.0, 3.0, 0.0, 1.0, (1 / 2 + 1 / 3 + 1 / 4) / 3])
    # Rank 5 or 6.
    found = retrieval(np.array([[0.5, 0.5, 0.9, 0.9, 0.9, 0.9]]), np.array([1]))
    assert found.recall_at_5.value == pytest.approx(0.5)


def test_similarities_that_float32_cannot_tell_apart_tie():
    similarities = np.array([[0.7, 0.7 + 1e-8, 0.2], [0.7, 0.7 + 1e-4, 0.2]])
    np.testing.assert_array_equal(retrieval(similarities, np.array([0, 0])).ranks, [1.5, 2.0])


def test_captions_of_the_same_words_are_one():
    rng = np.random.default_rng(0)
    similarities = rng.normal(size=(5, 3))
    doubled = similarities[:, [2, 0, 2, 1, 0]]
    words = ["c", "a", "c", "b", "a"]
    right = np.array([1, 4, 3, 2, 0])
    found = retrieval(doubled, right, words)
    expected = retrieval(similarities, np.array([0, 0, 1, 2, 2]))
    np.testing.assert_array_equal(found.ranks, expected.ranks)
    assert found.captions == 3
    assert _values(found) == pytest.approx(_values(expected))
    # Pictures of one caption are one group, by whichever column they name it.
    assert found.mean_rank.stderr == pytest.approx(expected.mean_rank.stderr)


def test_without_shared_captions_the_error_is_the_usual_one():
    similarities = np.random.default_rng(0).normal(size=(30, 30))
    found = retrieval(similarities, np.arange(30))
    assert found.mean_rank.stderr == pytest.approx(found.ranks.std(ddof=1) / 30**0.5)


def test_their_errors_are_the_spread_over_new_captions_with_pictures_of_each():
    rng = np.random.default_rng(0)
    right, rows = np.repeat(np.arange(60), 4), np.arange(240)
    values, errors, naive = [], [], []
    for _ in range(150):
        similarities = rng.normal(size=(240, 60))
        # Some captions are easy, for all of their pictures.
        similarities[rows, right] += 1 + 1.5 * rng.normal(size=60)[right]
        found = retrieval(similarities, right)
        values.append(_values(found))
        errors.append([getattr(found, name).stderr for name in FIGURES])
        naive.append(found.ranks.std() / 240**0.5)
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(values, axis=0)
    assert ((ratio > 0.8) & (ratio < 1.2)).all(), ratio
    # As if the pictures of a caption told as much as those of others, it would be too small.
    assert np.sqrt(np.mean(np.square(naive))) / np.std(values, axis=0)[0] < 0.7


def test_pictures_of_one_caption_have_no_error():
    found = retrieval(np.random.default_rng(0).normal(size=(8, 5)), np.full(8, 3))
    assert found.mean_rank.stderr is None
    assert found.median_rank.stderr is None


def test_cosine_does_not_depend_on_lengths():
    pictures, captions = np.random.default_rng(0).normal(size=(2, 6, 4))
    similarities = cosine(pictures, captions)
    np.testing.assert_allclose(cosine(7 * pictures, 0.1 * captions), similarities, rtol=1e-12)
    np.testing.assert_allclose(np.diag(cosine(pictures, pictures)), 1.0)
    pictures[2] = 0
    np.testing.assert_array_equal(cosine(pictures, captions)[2], 0.0)


@pytest.mark.parametrize(
    ("right", "captions", "words"),
    [
        ([0, 1], None, "as integers"),
        ([0.0, 1.0, 2.0], None, "as integers"),
        ([0, 1, 4], None, "columns 0 to 3, not 0 to 4"),
        ([-1, 1, 2], None, "columns 0 to 3, not -1 to 2"),
        ([0, 1, 2], ["a", "b", "c"], "4 columns of similarities need as many captions, not 3"),
        ([0, 1, 2], ["a"] * 4, "at least two that differ"),
    ],
)
def test_what_does_not_fit_is_refused(right, captions, words):
    with pytest.raises(ValueError, match=words):
        retrieval(np.random.default_rng(0).normal(size=(3, 4)), np.array(right), captions)


def test_embeddings_of_two_spaces_and_nan_are_refused():
    with pytest.raises(ValueError, match="of length 4 and captions of 5: both must be embedded in one space"):
        cosine(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(DfjaxError, match="not finite for 1 of 3 pictures, the first at row 1"):
        retrieval(np.array([[1.0, 2], [np.nan, 1], [1, 2]]), np.array([0, 1, 0]))
