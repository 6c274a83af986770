"""The Fréchet distance of Gaussians, in closed form where there is one."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics.frechet import Moments, frechet_distance


def _moments(mean, covariance, count=1000):
    return Moments(np.asarray(mean, float), np.asarray(covariance, float), count)


def test_of_covariances_that_commute_it_is_that_of_the_standard_deviations():
    first, second = _moments([0, 1, 2], np.diag([1, 4, 9])), _moments([1, 1, 0], np.diag([4, 4, 1]))
    assert frechet_distance(first, second) == pytest.approx(1 + 4 + (1 - 2) ** 2 + (3 - 1) ** 2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = [_moments(turn @ each.mean, turn @ each.cov @ turn.T) for each in (first, second)]
    assert frechet_distance(*turned) == pytest.approx(10)


def test_it_is_symmetric_and_zero_for_the_same():
    rng = np.random.default_rng(0)
    first, second = (Moments.of(rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))) for _ in range(2))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_moments_are_numpys_and_can_be_merged_from_parts():
    features = np.random.default_rng(0).normal(size=(50, 6)) + 100
    whole = Moments.of(features)
    np.testing.assert_allclose(whole.cov, np.cov(features, rowvar=False), rtol=1e-10)
    parts = Moments.of(features[:7]) + Moments.of(features[7:8]) + Moments.of(features[8:])
    assert parts.count == 50
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.cov, whole.cov, rtol=1e-9, atol=1e-12)


def test_a_covariance_that_is_singular_is_no_difficulty():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 6))
    assert np.isfinite(frechet_distance(Moments.of(features), Moments.of(features + 0.1)))
    assert frechet_distance(Moments.of(features), Moments.of(features + 0.1)) == pytest.approx(0.06, rel=1e-5)


def test_below_twice_as_many_pictures_as_features_it_is_refused():
    rng = np.random.default_rng(0)
    enough, few = Moments.of(rng.normal(size=(20, 10))), Moments.of(rng.normal(size=(19, 10)))
    frechet_distance(enough, enough)
    for pair in ((enough, few), (few, enough)):
        with pytest.raises(DfjaxError, match="20"):
            frechet_distance(*pair)


def test_features_of_two_networks_are_refused():
    with pytest.raises(ValueError, match="of 3 and of 2 features"):
        frechet_distance(_moments([0] * 3, np.eye(3)), _moments([0] * 2, np.eye(2)))
