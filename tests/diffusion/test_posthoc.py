"""Averages of any length from stored ones: the weights against sixty digits, and how near they come."""

import numpy as np
import pytest

from dfjax.diffusion import averaging, posthoc
from dfjax.diffusion.posthoc import Average
from tests.diffusion.exact import Problem


def _stored(steps, stds=(0.05, 0.1)):
    return [Average(step, std) for step in steps for std in stds]


def _every(snapshots, steps=1024):
    return range(steps // snapshots, steps + 1, steps // snapshots)


@pytest.mark.parametrize("wanted", [Average(512, 0.05), Average(1024, 0.1)])
def test_what_is_stored_is_taken_as_it_is(wanted):
    stored = _stored(_every(8))
    values, residual = posthoc.weights(stored, wanted)
    assert residual == 0.0
    assert values.tolist() == [float(average == wanted) for average in stored]


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (_stored(_every(8)), Average(1024, 0.07)),
        (_stored(_every(64)), Average(1024, 0.07)),
        (_stored(_every(8)), Average(700, 0.15)),
        (_stored(_every(8), (0.01, 0.25)), Average(1024, 0.02)),
        (_stored(_every(8), (0.25,)), Average(1024, 0.2)),
        (_stored((1, 2, 3, 1000, 1001, 1002), (0.05, 0.1, 0.25)), Average(1001, 0.2)),
        (_stored(_every(16), (0.05, 0.06, 0.07, 0.08)), Average(1024, 0.065)),
    ],
    ids=["8", "64", "between", "extremes", "one length", "crowded steps", "crowded lengths"],
)
def test_the_weights_are_the_least_squares_optimum(stored, wanted):
    exact = Problem(stored, wanted)
    optimum = exact.optimum()
    values, residual = posthoc.weights(stored, wanted)
    assert exact.distance(values, optimum) < 1e-6
    assert exact.residual(values) == pytest.approx(exact.residual(optimum), rel=1e-6)
    assert residual == pytest.approx(exact.residual(optimum), rel=1e-6)


# Measured; 1.2e-2 from 8 snapshots and 2e-4 from 64 is what to expect between the stored lengths.
@pytest.mark.parametrize(
    ("std", "from_8", "from_64"),
    [
        (0.03, 1.00e-1, 2.90e-3),
        (0.06, 1.15e-2, 2.19e-4),
        (0.07, 1.34e-2, 2.46e-4),
        (0.08, 1.08e-2, 1.92e-4),
        (0.15, 3.29e-2, 5.78e-4),
        (0.20, 7.53e-2, 1.71e-3),
    ],
)
def test_more_snapshots_come_nearer(std, from_8, from_64):
    for snapshots, expected in ((8, from_8), (64, from_64)):
        assert posthoc.weights(_stored(_every(snapshots)), Average(1024, std)).residual == pytest.approx(expected, 0.01)


def test_the_residual_is_that_of_the_tracked_weights_of_the_steps():
    def weights_of_steps(average):
        edges = np.minimum(np.arange(4097) / average.step, 1.0)
        return np.diff(edges ** (averaging.power_gamma(average.std) + 1))

    stored, wanted = _stored(_every(8, 4096)), Average(4096, 0.07)
    values, residual = posthoc.weights(stored, wanted)
    found = sum(x * weights_of_steps(average) for x, average in zip(values, stored, strict=True))
    target = weights_of_steps(wanted)
    assert np.linalg.norm(found - target) / np.linalg.norm(target) == pytest.approx(residual, rel=1e-3)


def test_snapshots_from_after_the_wanted_step_help():
    wanted = Average(640, 0.07)
    before = posthoc.weights(_stored(range(128, 640, 128)), wanted).residual
    assert posthoc.weights(_stored(range(128, 1025, 128)), wanted).residual < 0.05 * before


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(ValueError, match="no stored average"):
        posthoc.weights([], Average(1, 0.1))
    with pytest.raises(ValueError, match="at least 1 step, not 0"):
        posthoc.weights(_stored((8,)), Average(0, 0.1))
    with pytest.raises(ValueError, match=r"at most 0\.2887, not 0\.5"):
        posthoc.weights(_stored((8,)), Average(8, 0.5))
