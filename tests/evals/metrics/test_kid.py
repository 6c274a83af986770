"""The kernel distance: without bias, and with an error that says how far it is from the truth."""

import itertools

import numpy as np
import pytest

from dfjax.evals.metrics import kid as kid_lib
from dfjax.evals.metrics.kid import kid, kid_over_subsets


def _mean_kernel(a, s, b, t):
    """E (x.y / d + 1)^3 for x ~ N(a, s^2 I) and y ~ N(b, t^2 I), from the moments of x.y."""
    d, ab, aa, bb = len(a), a @ b, a @ a, b @ b
    second = d * s**2 * t**2 + s**2 * bb + t**2 * aa + ab**2
    third = ab**3 + 3 * ab * t**2 * aa + 3 * s**2 * ab * (bb + (d + 2) * t**2)
    return third / d**3 + 3 * second / d**2 + 3 * ab / d + 1


def _truth(a, s, b, t):
    return _mean_kernel(a, s, a, s) + _mean_kernel(b, t, b, t) - 2 * _mean_kernel(a, s, b, t)


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def _by_definition(x, y):
    """Means over pairs, each pair on its own."""
    pairs = [
        np.mean([_kernel(z[i : i + 1], z[j : j + 1]) for i, j in itertools.permutations(range(len(z)), 2)])
        for z in (x, y)
    ]
    return sum(pairs) - 2 * _kernel(x, y).mean()


def _two(n, m, d=6, shift=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + shift


@pytest.mark.parametrize(("n", "m"), [(4, 4), (7, 12), (12, 7)])
def test_it_is_the_mean_over_pairs_of_different_pictures(n, m):
    real, drawn = _two(n, m)
    assert kid(real, drawn).value == pytest.approx(_by_definition(real, drawn), rel=1e-12)


@pytest.mark.parametrize("chances", [((0.3, 0.7), (0.3, 0.7)), ((0.3, 0.7), (0.8, 0.2))], ids=["alike", "different"])
def test_over_all_sets_that_may_be_drawn_value_and_variance_are_exactly_right(chances):
    """With two kinds of picture all sets of 4 and of 5 can be listed, each with its probability."""
    kinds, (p, q) = np.array([[0.0, 1.0], [2.0, -0.5]]), np.array(chances)
    values, variances, weights = [], [], []
    for drawing in itertools.product((0, 1), repeat=9):
        real, drawn = np.array(drawing[:4]), np.array(drawing[4:])
        pairs = kid_lib._Pairs.of(kinds[real], kinds[drawn])
        values.append(kid_lib._discrepancy(pairs))
        variances.append(sum(kid_lib._variance(pairs)))
        weights.append(p[real].prod() * q[drawn].prod())
    truth = (p - q) @ _kernel(kinds, kinds) @ (p - q)
    assert np.average(values, weights=weights) == pytest.approx(truth, rel=1e-12, abs=1e-12)
    spread = np.average((np.array(values) - truth) ** 2, weights=weights)
    assert np.average(variances, weights=weights) == pytest.approx(spread, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "n", "m", "shift", "scale", "least"),
    [
        (8, 100, 60, 0.0, 1.0, 0.95),
        (64, 100, 100, 0.0, 1.0, 0.95),
        (2, 60, 60, 0.0, 1.0, 0.95),
        # The cubic kernel's tails are long: below a hundred pictures the error of a far set is itself uncertain.
        (8, 100, 60, 0.5, 1.0, 0.90),
        (8, 200, 200, 0.5, 1.2, 0.92),
        (64, 100, 300, 0.3, 1.0, 0.92),
    ],
)
def test_about_19_of_20_estimates_lie_within_two_errors_of_the_truth(d, n, m, shift, scale, least):
    rng = np.random.default_rng(0)
    a, b = np.full(d, 0.2), np.full(d, 0.2 + shift)
    truth, runs = _truth(a, 1.0, b, scale), 400
    drawings = ((rng.normal(size=(n, d)) + a, scale * rng.normal(size=(m, d)) + b) for _ in range(runs))
    values, errors = np.array([(found.value, found.stderr) for found in itertools.starmap(kid, drawings)]).T
    spread = values.std()
    assert abs(values.mean() - truth) < 4 * spread / runs**0.5
    assert np.mean(np.abs(values - truth) < 2 * errors) >= least
    # And not by errors that are far too large.
    assert 0.9 < np.sqrt(np.mean(errors**2)) / spread < 1.35


def test_halves_of_one_set_lie_within_two_errors_of_0():
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=(400, 30)) @ rng.normal(size=(30, 50)), 0) + 0.3
    inside = []
    for _ in range(50):
        order = rng.permutation(400)
        found = kid(features[order[:200]], features[order[200:]])
        inside.append(abs(found.value) < 2 * found.stderr)
    assert np.mean(inside) >= 0.95


def test_it_rises_with_each_step_away():
    real, drawn = _two(300, 300, shift=0.0)
    noise = np.random.default_rng(9).normal(size=drawn.shape)
    for away in (lambda step: drawn + 0.2 * step, lambda step: drawn + 0.6 * step * noise):
        values = [kid(real, away(step)).value for step in range(6)]
        assert (np.diff(values) > 0).all()


def test_blocks_change_nothing(monkeypatch):
    real, drawn = _two(50, 33)
    whole = kid(real, drawn)
    monkeypatch.setattr(kid_lib, "_SIDE", 8)
    parts = kid(real, drawn)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.stderr == pytest.approx(whole.stderr, rel=1e-12)


def test_a_large_common_offset_costs_no_digits():
    """The kernel is then 1e9 with a spread of 1e6; what is asked for is a thousandth of that spread."""
    import fractions

    rng = np.random.default_rng(0)
    # Eighths, so that sums of products are exact as fractions.
    real, drawn = ((rng.integers(-8, 9, size=(8, 3)) + 8000) / 8 for _ in range(2))

    def total(x, y):
        return sum((fractions.Fraction(float(u @ v)) / 3 + 1) ** 3 for u, v in itertools.product(x, y))

    def diagonal(x):
        return sum((fractions.Fraction(float(u @ u)) / 3 + 1) ** 3 for u in x)

    exact = sum((total(x, x) - diagonal(x)) / 56 for x in (real, drawn)) - 2 * total(real, drawn) / 64
    assert kid(real, drawn).value == pytest.approx(float(exact), rel=1e-6)


def test_over_subsets_it_is_the_mean_of_theirs():
    real, drawn = _two(20, 30)
    rng = np.random.default_rng(0)
    subsets = [(rng.choice(20, 9, replace=False), rng.choice(30, 9, replace=False)) for _ in range(4)]
    each = [_by_definition(real[i], drawn[j]) for i, j in subsets]
    assert kid_over_subsets(real, drawn, subsets) == pytest.approx(np.mean(each), rel=1e-12)
    everything = [(np.arange(20), np.arange(30))]
    assert kid_over_subsets(real, drawn, everything) == pytest.approx(kid(real, drawn).value, rel=1e-12)


def test_subsets_that_are_none_are_refused():
    real, drawn = _two(20, 30)
    with pytest.raises(ValueError, match="none of them twice"):
        kid_over_subsets(real, drawn, [(np.array([0, 1, 1]), np.array([0, 1, 2]))])
    with pytest.raises(ValueError, match="at least two pictures"):
        kid_over_subsets(real, drawn, [(np.array([0, 1]), np.array([3]))])
    with pytest.raises(ValueError, match="name at least one"):
        kid_over_subsets(real, drawn, [])
