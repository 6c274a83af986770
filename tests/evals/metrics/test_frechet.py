"""The Fréchet distance of Gaussians that are known, its moments batch by batch, and when it is refused."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics.frechet import Moments, frechet, frechet_distance

D = 5


def _known(mean, deviations, turn=None, count=1000):
    turn = np.eye(len(deviations)) if turn is None else turn
    return Moments(np.asarray(mean, float), turn @ np.diag(np.square(deviations)) @ turn.T, count)


def _turn(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def _parts(features, parts=10):
    return [Moments.of(part) for part in np.array_split(features, parts)]


def test_with_axes_in_common_it_is_that_of_means_and_deviations():
    s, t, mean = np.array([1.0, 2, 3, 0.5, 0]), np.array([2.0, 2, 1, 0, 0]), np.arange(5.0)
    expected = mean @ mean + np.square(s - t).sum()
    assert frechet_distance(_known(np.zeros(D), s), _known(mean, t)) == pytest.approx(expected, rel=1e-12)
    a, b = _known(np.zeros(D), s, _turn(D)), _known(mean, t, _turn(D))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_in_two_dimensions_it_is_the_closed_form():
    """tr M^(1/2) = sqrt(tr M + 2 sqrt(det M)) for a 2 x 2 matrix M = A B, whatever its axes."""
    a, b = _known([0, 0], [1, 3]), _known([1, 0], [2, 0.5], _turn(2))
    product = a.cov @ b.cov
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    assert frechet_distance(a, b) == pytest.approx(1 + np.trace(a.cov) + np.trace(b.cov) - 2 * root, rel=1e-12)


def test_it_is_symmetric_and_0_between_equals():
    rng = np.random.default_rng(0)
    a, b = (Moments.of(rng.normal(size=(40, D)) @ rng.normal(size=(D, D))) for _ in range(2))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-12)


def test_features_that_never_vary_cost_no_digits():
    """Singular covariances, at an angle to the axes so that no entry is 0: a root of rounding errors is 1e-8."""
    s, t = np.array([1.0, 2, 3] + [0] * 37), np.array([2.0, 1, 0] + [0] * 37)
    a, b = _known(np.zeros(40), s, _turn(40)), _known(np.zeros(40), t, _turn(40))
    assert frechet_distance(a, b) == pytest.approx(1 + 1 + 9, rel=1e-13)
    still = Moments.of(np.ones((80, 40)))
    assert frechet_distance(still, a) == pytest.approx(40 + 14, rel=1e-13)


def test_it_rises_with_each_step_away():
    rng = np.random.default_rng(0)
    real, drawn, noise = rng.normal(size=(3, 300, D))
    for away in (lambda step: drawn + 0.2 * step, lambda step: drawn + 0.5 * step * noise):
        values = [frechet_distance(Moments.of(real), Moments.of(away(step))) for step in range(6)]
        assert (np.diff(values) > 0).all()


def test_moments_do_not_depend_on_batches():
    features = (np.random.default_rng(0).normal(size=(53, D)) + 1000).astype(np.float32)
    batches = [features[:1], features[1:2], features[2:30], features[30:53]]
    merged = sum((Moments.of(batch) for batch in batches[1:]), Moments.of(batches[0]))
    whole = features.astype(np.float64)
    assert merged.count == 53
    np.testing.assert_allclose(merged.mean, whole.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(merged.cov, np.cov(whole.T), rtol=1e-10, atol=1e-10)


def test_it_is_refused_below_twice_as_many_pictures_as_features():
    rng = np.random.default_rng(0)
    few, enough = (Moments.of(rng.normal(size=(n, D))) for n in (2 * D - 1, 2 * D))
    assert frechet_distance(enough, enough) == pytest.approx(0.0, abs=1e-12)
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(DfjaxError, match=r"over 5 features needs at least 10 pictures of each set, .* has 9: draw"):
            frechet_distance(*pair)


@pytest.mark.parametrize(("n", "m", "shift"), [(200, 200, 0.0), (200, 200, 0.3), (32, 36, 0.5), (400, 100, 0.2)])
def test_its_error_is_the_spread_over_new_pictures(n, m, shift):
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(150):
        real, drawn = rng.normal(size=(n, 16)), (1 + shift) * rng.normal(size=(m, 16)) + shift
        found = frechet(_parts(real), _parts(drawn))
        values.append(found.value)
        errors.append(found.stderr)
    # By Efron and Stein not below on average; up to a half above where the sets are alike.
    assert 0.9 < np.sqrt(np.mean(np.square(errors))) / np.std(values) < 1.6


def test_parts_do_not_change_the_value_and_one_part_has_no_error():
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(2, 100, D))
    whole = frechet([Moments.of(real)], [Moments.of(drawn)])
    assert whole.stderr is None
    assert whole.value == frechet_distance(Moments.of(real), Moments.of(drawn))
    parts = frechet(_parts(real), _parts(drawn))
    assert parts.value == pytest.approx(whole.value, rel=1e-10)
    known = frechet([Moments.of(real)], _parts(drawn))
    assert 0 < known.stderr < parts.stderr


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="5 and of 6 features do not go together"):
        frechet_distance(_known(np.zeros(5), np.ones(5)), _known(np.zeros(6), np.ones(6)))
    with pytest.raises(ValueError, match="5 and of 6 features do not go together"):
        _known(np.zeros(5), np.ones(5)) + _known(np.zeros(6), np.ones(6))
    with pytest.raises(ValueError, match="no parts"):
        frechet([], [_known(np.zeros(5), np.ones(5))])
