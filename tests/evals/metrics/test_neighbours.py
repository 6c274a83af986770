"""Precision, recall, density, coverage and nearest neighbours, against the definitions in the plainest words."""

import numpy as np
import pytest

from dfjax.evals.metrics import neighbours


def _distance(x, y):
    return float(np.sqrt(np.square(x - y).sum()))


def _radius(rows, i, k):
    return sorted(_distance(rows[i], other) for j, other in enumerate(rows) if j != i)[k - 1]


def _naive(real, drawn, k, density_k):
    of_real = [_radius(real, i, k) for i in range(len(real))]
    wide = [_radius(real, i, density_k) for i in range(len(real))]
    of_drawn = [_radius(drawn, i, k) for i in range(len(drawn))]
    return {
        "precision": np.mean([any(_distance(x, y) <= r for y, r in zip(real, of_real, strict=True)) for x in drawn]),
        "recall": np.mean([any(_distance(x, y) <= r for y, r in zip(drawn, of_drawn, strict=True)) for x in real]),
        "density": np.mean(
            [sum(_distance(x, y) <= r for y, r in zip(real, wide, strict=True)) / density_k for x in drawn]
        ),
        "coverage": np.mean([any(_distance(x, y) <= r for x in drawn) for y, r in zip(real, wide, strict=True)]),
    }


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(23, 3)), rng.normal(size=(17, 3)) + 1.5


@pytest.mark.parametrize("block", [5, 2048])
def test_they_are_the_definitions(sets, block, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    found = neighbours.manifold(*sets, k=3, density_k=5)
    wanted = _naive(*sets, 3, 5)
    assert {name: each.value for name, each in found.items()} == pytest.approx(wanted)
    assert all(0 < wanted[name] < 1 for name in ("precision", "recall", "coverage"))


def test_their_errors_are_those_of_shares(sets):
    found = neighbours.manifold(*sets)
    for name, count in (("precision", 17), ("recall", 23), ("coverage", 23)):
        share = found[name].value
        assert found[name].stderr == pytest.approx((share * (1 - share) / (count - 1)) ** 0.5)


def test_a_picture_that_is_drawn_again_and_again_has_precision_and_no_recall():
    real = np.random.default_rng(0).normal(size=(60, 4))
    found = neighbours.manifold(real, real[:1] + 1e-9 * np.arange(30)[:, None])
    assert found["precision"].value == 1
    assert found["recall"].value <= 1 / 30
    assert found["coverage"].value < 0.4


@pytest.mark.parametrize("block", [4, 2048])
def test_the_nearest_come_first_and_nobody_is_his_own(sets, block, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    real, drawn = sets
    places, distances = neighbours.nearest(drawn, real, 4)
    for row, (place, distance) in enumerate(zip(places, distances, strict=True)):
        apart = np.array([_distance(drawn[row], other) for other in real])
        np.testing.assert_array_equal(place, np.argsort(apart)[:4])
        np.testing.assert_allclose(distance, np.sort(apart)[:4], atol=1e-12)
    places, _ = neighbours.nearest(real, real, 2, exclude_self=True)
    assert all(row not in place for row, place in enumerate(places))


def test_too_few_are_refused(sets):
    with pytest.raises(ValueError, match="6 rows or more"):
        neighbours.manifold(sets[0][:5], sets[1])
    with pytest.raises(ValueError, match="24 rows or more"):
        neighbours.nearest(sets[1], sets[0], 24)
