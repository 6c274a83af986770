"""Precision, recall, density, coverage and nearest neighbours, against the definitions in the plainest words."""

import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics import manifold, neighbours


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


def test_they_are_the_definitions(sets):
    found = manifold.manifold(*sets, k=4)
    wanted = _naive(*sets, 4, 4)
    assert {name: getattr(found, name).value for name in wanted} == pytest.approx(wanted)
    assert all(0 < wanted[name] < 1 for name in ("precision", "recall", "coverage"))


def test_the_nearest_come_first_and_nobody_is_his_own(sets):
    real, drawn = sets
    places, distances = neighbours.nearest(drawn, real, 4)
    for row, (place, distance) in enumerate(zip(places, distances, strict=True)):
        apart = np.array([_distance(drawn[row], other) for other in real])
        np.testing.assert_array_equal(place, np.argsort(apart)[:4])
        np.testing.assert_allclose(distance, np.sort(apart)[:4], atol=1e-9)
    places, _ = neighbours.nearest(real, real, 2, skip_self=True)
    assert all(row not in place for row, place in enumerate(places))


def test_too_few_are_refused(sets):
    with pytest.raises(DfjaxError):
        manifold.manifold(sets[0][:5], sets[1])
    with pytest.raises(DfjaxError, match="24 nearest neighbours among 23"):
        neighbours.nearest(sets[1], sets[0], 24)
