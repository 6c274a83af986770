"""The kernel distance: unbiased, with an error that may be believed."""

import numpy as np
import pytest

from dfjax.evals.metrics import kid as kid_lib
from dfjax.evals.metrics.kid import kid


def _draw(seed, n, shift=0.0, size=4):
    return np.random.default_rng(seed).normal(size=(n, size)) + shift


def _naive(real, drawn):
    """By its definition, pair by pair."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(rows):
        pairs = [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return np.mean(pairs)

    return within(real) + within(drawn) - 2 * np.mean([kernel(x, y) for x in real for y in drawn])


def test_it_is_the_definition_for_sets_of_any_two_sizes():
    real, drawn = _draw(0, 9), _draw(1, 6, 0.3)
    assert kid(real, drawn).value == pytest.approx(_naive(real, drawn), rel=1e-12)


def test_blocks_change_nothing(monkeypatch):
    real, drawn = _draw(0, 50), _draw(1, 41, 0.1)
    whole = kid(real, drawn)
    monkeypatch.setattr(kid_lib, "_SIDE", 7)
    parts = kid(real, drawn)
    assert parts.value == pytest.approx(whole.value, rel=1e-10)
    assert parts.stderr == pytest.approx(whole.stderr, rel=1e-10)


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.93, 1.0), (0.5, 0.87, 0.99)])
def test_the_truth_is_within_two_errors_about_as_often_as_it_should_be(shift, least, most):
    # Of the kernel's expectation the closed form: E(x.y/d + 1)^3 of two normal vectors with means m, m'.
    size = 4
    truth = _mean_kernel(0.0, 0.0, size) + _mean_kernel(shift, shift, size) - 2 * _mean_kernel(0.0, shift, size)
    found = [kid(_draw(2 * i, 40, 0.0, size), _draw(2 * i + 1, 40, shift, size)) for i in range(400)]
    values = np.array([each.value for each in found])
    # Without bias: the mean over many draws is the truth.
    assert abs(values.mean() - truth) < 3 * values.std() / 20
    inside = np.mean([abs(each.value - truth) < 2 * each.stderr for each in found])
    assert least <= inside <= most


def _mean_kernel(first: float, second: float, size: int) -> float:
    """E (x.y / d + 1)^3 for x ~ N(first, 1), y ~ N(second, 1) in ``size`` dimensions, by Gauss-Hermite quadrature of y.

    Given y, x.y is normal: its mean is first * sum(y) and its variance |y|^2.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    grids = np.stack(np.meshgrid(*[nodes] * size, indexing="ij"), axis=-1).reshape(-1, size) + second
    mass = np.prod(np.stack(np.meshgrid(*[weights / weights.sum()] * size, indexing="ij"), axis=-1), axis=-1).ravel()
    mean, variance = first * grids.sum(axis=1) / size + 1, np.square(grids).sum(axis=1) / size**2
    return float(mass @ (mean**3 + 3 * mean * variance))


def test_it_grows_with_the_distance():
    real = _draw(0, 200)
    values = [kid(real, _draw(1, 200, shift)).value for shift in (0.0, 0.2, 0.4, 0.8)]
    assert values == sorted(values)


def test_over_subsets_it_is_the_mean():
    real, drawn = _draw(0, 30), _draw(1, 30, 0.2)
    rng = np.random.default_rng(3)
    subsets = [(rng.choice(30, 8, replace=False), rng.choice(30, 8, replace=False)) for _ in range(4)]
    wanted = np.mean([_naive(real[first], drawn[second]) for first, second in subsets])
    assert kid_lib.kid_over_subsets(real, drawn, subsets) == pytest.approx(wanted, rel=1e-10)
