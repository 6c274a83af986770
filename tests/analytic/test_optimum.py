"""The exact denoiser has the least loss there is, under every schedule, prediction and weight."""

import functools
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core.registry import LOSSES
from dfjax.diffusion import loss, prediction
from dfjax.diffusion.weighting import Weighting
from tests.analytic.choices import PAIRS, SCHEDULES
from tests.analytic.gaussian import GAUSSIAN, MIXTURE
from tests.diffusion import published

N, D = 8_192, 0.5
DATA = {"gaussian": GAUSSIAN, "mixture": MIXTURE}


@functools.cache
def _times(label: str) -> np.ndarray:
    """Even from sigma/alpha = 0.02, below which a picture's own rounding shows, to 1."""
    return np.linspace(SCHEDULES[label].time(np.asarray(0.02)), 1.0, N + 1)[:-1]


def _levels(label: str):
    """Alpha and sigma at those times, to multiply pictures with."""
    return tuple(at(_times(label))[:, None, None, None] for at in (SCHEDULES[label].alpha, SCHEDULES[label].sigma))


@functools.cache
def _batch(label: str, data: str):
    """Pictures, noise, noised pictures; both best estimates, all float64; and the least mean squared error of x0."""
    rng = np.random.default_rng(0)
    x = DATA[data].sample(rng, N)
    eps = rng.normal(size=x.shape)
    alpha, sigma = _levels(label)
    z = alpha * x + sigma * eps
    least = DATA[data].uncertainty(z, alpha, sigma)[:, 0, 0] / x.shape[-1]
    return x, eps, *DATA[data].estimate(z, alpha, sigma), least


def _losses(kind: str, label: str, *cases) -> Iterator[tuple[str, np.ndarray]]:
    """For each way to weigh, each example's loss in each case: (a network's output, pictures, noise)."""
    output, x, eps = (jnp.asarray(np.concatenate(values), jnp.float32) for values in zip(*cases, strict=True))
    t = jnp.asarray(np.tile(_times(label), len(cases)), jnp.float32)
    for terms in LOSSES:
        weighting = Weighting(terms, floor=1e-6, data_std=D)
        losses = loss.per_example(
            lambda z, t: output, x, eps, t, schedule=SCHEDULES[label], prediction=kind, weighting=weighting
        )
        yield terms, np.asarray(losses, np.float64).reshape(len(cases), N)


def _best(kind: str, label: str, data: str) -> np.ndarray:
    """The exact denoiser's output as the papers define that prediction."""
    _, _, x, eps, _ = _batch(label, data)
    return published.outputs(x, eps, *_levels(label), D)[kind]


def _least(kind: str, label: str, terms: str, data: str) -> np.ndarray:
    """The least loss that a network can have, given each noised picture."""
    weights = published.weights(*(value[:, 0, 0, 0] for value in _levels(label)), D)
    return weights.get(terms, weights[kind]) * _batch(label, data)[-1]


def _in_errors(values: np.ndarray) -> float:
    """The mean, in standard errors."""
    return float(values.mean() / values.std() * N**0.5)


@pytest.mark.gate(data=("mixture",))
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("kind", "label"), PAIRS)
def test_the_exact_denoiser_has_no_excess_loss_and_others_have(kind, label, data):
    x, eps, mean_x, mean_eps, least = _batch(label, data)
    alpha, sigma = _levels(label)
    best = _best(kind, label, data)
    away = 0.5 * np.sqrt(least)[:, None, None, None]
    other = published.outputs(mean_x + away, mean_eps - alpha / sigma * away, alpha, sigma, D)[kind]
    cases = (best, mean_x, mean_eps), (0 * best, mean_x, mean_eps), (best, x, eps), (other, x, eps)
    for terms, (rounding, size, losses, more) in _losses(kind, label, *cases):
        # Asked for the mean picture and mean noise, it errs by no more than float32's rounding.
        assert rounding.mean() < 1e-9 * size.mean(), terms
        assert abs(_in_errors(losses - _least(kind, label, terms, data))) < 4, terms
        assert _in_errors(more - losses) > 4, terms


@pytest.mark.parametrize("label", SCHEDULES)
def test_the_estimate_of_the_picture_is_the_exact_one(label):
    """What a sampler makes of the exact output."""
    _, _, x, eps, _ = _batch(label, "mixture")
    alpha, sigma = _levels(label)
    for kind in (kind for kind, other in PAIRS if other == label):
        values = (_best(kind, label, "mixture"), alpha * x + sigma * eps, alpha, sigma)
        found = prediction.to_x0(kind, *(jnp.asarray(value, jnp.float32) for value in values), data_std=D)
        # eps is divided by alpha/sigma, whatever rounding it had.
        bound = 2e-6 * (1 + (sigma / alpha if kind == "eps" else 0 * sigma))
        assert np.all(np.abs(found - x) < bound), kind


def _swapped(x, eps, alpha, sigma):
    return published.outputs(x, eps, sigma, alpha, D)["v"]


FAULTS = {
    "v with its sign flipped": ("v", lambda x, eps, alpha, sigma: sigma * x - alpha * eps),
    "alpha and sigma exchanged": ("v", _swapped),
    "eps for x0": ("x0", lambda x, eps, alpha, sigma: eps),
    "flow the other way": ("flow", lambda x, eps, alpha, sigma: x - eps),
    "another spread of the data": ("edm", lambda *values: published.outputs(*values, 1.2 * D)["edm"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_has_excess_loss(fault):
    kind, plant = FAULTS[fault]
    x, eps, mean_x, mean_eps, _ = _batch("linear", "mixture")
    output, best = plant(mean_x, mean_eps, *_levels("linear")), _best(kind, "linear", "mixture")
    cases = (output, mean_x, mean_eps), (0 * best, mean_x, mean_eps), (best, x, eps), (output, x, eps)
    for terms, (error, size, losses, more) in _losses(kind, "linear", *cases):
        assert error.mean() > 1e-4 * size.mean(), terms
        assert (more - losses).mean() > 0, terms
