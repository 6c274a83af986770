"""Nearest neighbours: all of them, in order, with copies at distance 0."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics import inputs
from dfjax.evals.metrics.neighbours import nearest


def _features(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def _distances(x, y):
    return np.sqrt(np.square(x[:, None] - y[None]).sum(axis=2))


def test_they_are_those_of_all_distances_in_order():
    queries, reference = _features(11), _features(30, seed=1)
    rows, distances = nearest(queries, reference, 4)
    expected = _distances(queries, reference)
    np.testing.assert_array_equal(rows, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4], rtol=1e-12)


def test_among_themselves_no_picture_is_its_own_neighbour():
    features = _features(20)
    rows, distances = nearest(features, features, 19, skip_self=True)
    assert all(sorted([i, *row]) == list(range(20)) for i, row in enumerate(rows))
    assert (distances > 0).all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_copy_is_at_distance_0_whatever_the_offset(offset):
    reference = (_features(40, 500) + offset).astype(np.float32)
    rows, distances = nearest(reference[7:9], reference, 2)
    np.testing.assert_array_equal(rows[:, 0], [7, 8])
    np.testing.assert_array_equal(distances[:, 0], 0.0)
    assert (distances[:, 1] > 1.0).all()
    # One that differs in the last bits of one feature only is not taken for a copy.
    almost = reference[7:8].copy()
    almost[0, 0] += 1e-3
    assert nearest(almost, reference, 1)[1][0, 0] == pytest.approx(
        float(almost[0, 0]) - float(reference[7, 0]), rel=1e-3
    )


def test_equals_come_in_the_order_of_rows():
    reference = np.repeat(_features(3), 3, axis=0)
    rows, _ = nearest(reference[:1], reference, 2)
    np.testing.assert_array_equal(rows, [[0, 1]])
    rows, distances = nearest(reference, reference, 2, skip_self=True)
    np.testing.assert_array_equal(rows[:3], [[1, 2], [0, 2], [0, 1]])
    np.testing.assert_array_equal(distances, 0.0)


def test_blocks_change_nothing(monkeypatch):
    features = _features(25)
    whole = nearest(features, features, 3, skip_self=True)
    monkeypatch.setattr(inputs, "BLOCK_PAIRS", 60)
    parts = nearest(features, features, 3, skip_self=True)
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-12)


def test_too_few_are_refused():
    with pytest.raises(DfjaxError, match="5 nearest neighbours among 4 pictures: ask for fewer, or give more"):
        nearest(_features(5), _features(5), 5, skip_self=True)
    with pytest.raises(ValueError, match="k must be at least 1"):
        nearest(_features(5), _features(5), 0)
    with pytest.raises(ValueError, match="takes the queries themselves"):
        nearest(_features(5), _features(6), 1, skip_self=True)
    with pytest.raises(ValueError, match="of length 6 and the reference of 7: both must come from one network"):
        nearest(_features(5), _features(5, 7), 1)
