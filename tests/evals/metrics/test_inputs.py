"""Features that no metric can use are refused by all of them, in words that say what to do."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics.frechet import Moments
from dfjax.evals.metrics.kid import kid, kid_over_subsets
from dfjax.evals.metrics.manifold import manifold
from dfjax.evals.metrics.neighbours import nearest

METRICS = {
    "kid": kid,
    "kid_over_subsets": lambda real, drawn: kid_over_subsets(real, drawn, [(np.arange(4), np.arange(4))]),
    "frechet": lambda real, drawn: (Moments.of(real), Moments.of(drawn)),
    "manifold": manifold,
    "nearest": nearest,
}
GOOD = np.random.default_rng(0).normal(size=(20, 4))


@pytest.fixture(params=METRICS.values(), ids=METRICS.keys())
def metric(request):
    return request.param


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite(metric, bad):
    features = GOOD.copy()
    features[[3, 7], 1] = bad
    for pair in ((features, GOOD), (GOOD, features)):
        with pytest.raises(DfjaxError, match="not finite for 2 of 20 pictures, the first at row 3: look for NaN"):
            metric(*pair)


@pytest.mark.parametrize("features", [GOOD[0], GOOD[:, :0], GOOD[None], (255 * GOOD).astype(np.uint8)])
def test_what_is_no_matrix_of_numbers(metric, features):
    for pair in ((features, GOOD), (GOOD, features)):
        with pytest.raises(ValueError, match="must be floating point"):
            metric(*pair)


def test_no_picture_at_all(metric):
    for pair in ((GOOD[:0], GOOD), (GOOD, GOOD[:0])):
        with pytest.raises(DfjaxError, match=r"0 \w+ pictures are too few: this metric needs at least"):
            metric(*pair)


@pytest.mark.parametrize("name", ["kid", "kid_over_subsets", "manifold"])
def test_features_of_two_networks(name):
    with pytest.raises(ValueError, match="length 4 and drawn ones 3: take both from one network"):
        METRICS[name](GOOD, GOOD[:, :3])


@pytest.mark.parametrize("name", ["kid", "manifold"])
def test_float32_is_measured_in_float64(name):
    single = GOOD.astype(np.float32)
    other = single[::-1] + np.float32(0.5)
    assert METRICS[name](single, other) == METRICS[name](single.astype(np.float64), other.astype(np.float64))


def test_nothing_that_is_given_is_changed(metric):
    real, drawn = GOOD.copy(), GOOD[::-1] + 0.5
    before = real.copy(), drawn.copy()
    metric(real, drawn)
    np.testing.assert_array_equal(real, before[0])
    np.testing.assert_array_equal(drawn, before[1])
