"""Precision, recall, density and coverage: by their definitions, and with errors that are the spread."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics import inputs
from dfjax.evals.metrics.manifold import manifold

NAMES = ("precision", "recall", "density", "coverage")


def _values(found):
    return np.array([getattr(found, name).value for name in NAMES])


def _errors(found):
    return np.array([getattr(found, name).stderr for name in NAMES])


def _by_definition(real, drawn, k):
    """Picture by picture."""

    def reach(own, i):
        return sorted(np.linalg.norm(own[i] - other) for j, other in enumerate(own) if j != i)[k - 1]

    real_reach, drawn_reach = ([reach(own, i) for i in range(len(own))] for own in (real, drawn))
    apart = [[np.linalg.norm(x - y) for y in drawn] for x in real]
    pairs = [(i, j) for i in range(len(real)) for j in range(len(drawn))]
    in_real = [(i, j) for i, j in pairs if apart[i][j] <= real_reach[i]]
    in_drawn = [(i, j) for i, j in pairs if apart[i][j] <= drawn_reach[j]]
    return [
        len({j for _, j in in_real}) / len(drawn),
        len({i for i, _ in in_drawn}) / len(real),
        len(in_real) / (k * len(drawn)),
        len({i for i, _ in in_real}) / len(real),
    ]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_they_are_the_papers(k):
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(40, 3)), 0.7 * rng.normal(size=(25, 3)) + 0.8
    expected = _by_definition(real, drawn, k)
    assert len(set(expected)) == 4
    np.testing.assert_allclose(_values(manifold(real, drawn, k)), expected, rtol=1e-12)


def test_a_line_whose_figures_can_be_counted():
    """Real at 0 to 7 with balls of reach 1; drawn at 2.5 and six times far off, of which each ball reaches the next."""
    real = np.arange(8.0)[:, None]
    drawn = np.array([2.5, 100, 101, 102, 103, 104, 105])[:, None]
    found = manifold(real, drawn, 1, splits=0)
    # The ball of 2.5 reaches 97.5 far, over all of the real: the weakness of recall.
    np.testing.assert_allclose(_values(found), [1 / 7, 1.0, 2 / 7, 2 / 8])
    assert _errors(found).tolist() == [None] * 4


def test_a_picture_on_the_rim_lies_in_the_ball_and_copies_of_the_real_set_give_1():
    real = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32) + 100
    found = manifold(real, real.copy(), 3)
    np.testing.assert_allclose(_values(found)[[0, 1, 3]], 1.0)
    # In each ball its own picture's copy and those of the k neighbours, of which the k-th is on the rim.
    assert found.density.value == pytest.approx(4 / 3, rel=1e-12)


def test_drawing_one_kind_only_costs_recall_and_drawing_odd_ones_costs_precision():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(100, 4)), rng.normal(size=(100, 4)) + 20])
    one_kind = manifold(real, rng.normal(size=(200, 4)))
    assert one_kind.precision.value > 0.9
    assert one_kind.recall.value < 0.55
    assert one_kind.coverage.value < 0.55
    odd = manifold(real, np.concatenate([real + 0.01, rng.normal(size=(200, 4)) - 20]))
    assert odd.recall.value > 0.95
    assert odd.precision.value == pytest.approx(0.5, abs=0.05)


def test_they_fall_with_each_step_away():
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(2, 300, 8))
    found = np.array([_values(manifold(real, drawn + 0.4 * step)) for step in range(5)])
    assert (np.diff(found, axis=0) < 0).all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("d", "n", "m", "shift", "k"), [(2, 100, 100, 0.0, 5), (8, 100, 60, 0.5, 3), (32, 150, 100, 0.2, 5)]
)
def test_their_errors_are_the_spread_over_new_pictures(d, n, m, shift, k):
    rng = np.random.default_rng(0)
    drawings = (
        manifold(rng.normal(size=(n, d)), (1 - shift / 3) * rng.normal(size=(m, d)) + shift, k) for _ in range(120)
    )
    values, errors = np.array([(_values(found), _errors(found)) for found in drawings]).swapaxes(0, 1)
    ratio = np.sqrt(np.mean(errors**2, axis=0)) / values.std(axis=0)
    assert ((ratio > 0.75) & (ratio < 1.35)).all(), ratio


def test_the_same_features_give_the_same_errors():
    real, drawn = np.random.default_rng(0).normal(size=(2, 40, 4))
    assert manifold(real, drawn) == manifold(real, drawn)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(40, 4)), rng.normal(size=(31, 4))
    whole = manifold(real, drawn)
    monkeypatch.setattr(inputs, "BLOCK_PAIRS", 90)
    assert manifold(real, drawn) == whole


def test_too_few_are_refused():
    real, drawn = np.random.default_rng(0).normal(size=(2, 12, 4))
    manifold(real, drawn, 5)
    with pytest.raises(DfjaxError, match="11 drawn pictures are too few: this metric needs at least 12"):
        manifold(real, drawn[:11], 5)
    manifold(real[:6], drawn[:6], 5, splits=0)
    with pytest.raises(DfjaxError, match="5 real pictures are too few: this metric needs at least 6"):
        manifold(real[:5], drawn, 5, splits=0)
    with pytest.raises(ValueError, match="k must be at least 1"):
        manifold(real, drawn, 0)
