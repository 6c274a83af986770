"""Every solver, schedule and prediction against data whose best denoiser is known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import stats

from dfjax.diffusion import prediction, samplers, schedule
from tests.analytic.gaussian import Gaussian, Mixture

SCHEDULES = [("flow", 1.0), ("cosine", 1.0), ("flow", 3.0), ("cosine", 0.5)]
# The eps prediction has no answer at t = 1, where the picture is gone; the config refuses it.
PREDICTIONS = ("x0", "v", "flow")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def _noise():
    """Quantiles of the normal distribution, as pictures [n, 1, 1, 2]."""
    levels = (np.arange(64) + 0.5) / 64
    return jnp.asarray(stats.norm.ppf(levels), jnp.float64).reshape(-1, 1, 1, 2)


def _draw(data, sampler: str, noising: schedule.Schedule, steps: int, kind: str = "x0"):
    def denoise(z, t):
        alpha, sigma = noising.alpha(t), noising.sigma(t)
        output = prediction.from_x0(kind, data.denoise(noising, z, t), z, alpha, sigma)
        return prediction.to_x0(kind, output, z, alpha, sigma)

    solve = jax.jit(
        lambda z: samplers.solve(samplers.SAMPLERS[sampler], denoise, noising, z, samplers.uniform_grid(steps))[0]
    )
    drawn = solve(_noise())
    assert drawn.dtype == jnp.float64
    return drawn


@pytest.mark.parametrize("name_and_shift", SCHEDULES, ids=str)
@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
@pytest.mark.parametrize("kind", PREDICTIONS)
def test_pure_noise_becomes_the_gaussian(kind, sampler, name_and_shift):
    drawn = _draw(Gaussian(), sampler, schedule.make(*name_and_shift), 300, kind)
    tolerance = 2e-3 if sampler == "heun" else 2e-2
    exact = Gaussian().transport(_noise())
    np.testing.assert_allclose(drawn.mean(), Gaussian.mean, atol=tolerance)
    np.testing.assert_allclose(drawn.std(), exact.std(), rtol=tolerance)
    np.testing.assert_allclose(drawn, exact, atol=3 * tolerance)


@pytest.mark.parametrize("name", ["flow", "cosine"])
@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_pure_noise_becomes_the_mixture(sampler, name):
    drawn = _draw(Mixture(), sampler, schedule.make(name), 400)
    quantiles = Mixture().quantile(drawn)
    np.testing.assert_allclose(quantiles, stats.norm.cdf(_noise()), atol=1e-3 if sampler == "heun" else 1e-2)


@pytest.mark.parametrize("name_and_shift", SCHEDULES, ids=str)
@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("euler", 1), ("heun", 2)])
def test_the_error_falls_with_the_solvers_order(sampler, order, name_and_shift):
    noising = schedule.make(*name_and_shift)
    exact = Gaussian().transport(_noise())
    coarse, fine = (float(jnp.abs(_draw(Gaussian(), sampler, noising, n) - exact).max()) for n in (64, 128))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_one_ddim_step_is_exact_for_a_single_picture():
    picture = jnp.linspace(-1.0, 1.0, 12).reshape(1, 2, 2, 3)
    for name in schedule.SCHEDULES:
        drawn, _ = samplers.solve(
            samplers.ddim_step, lambda z, t: picture, schedule.make(name), picture + 1, samplers.uniform_grid(1)
        )
        np.testing.assert_allclose(drawn, picture, atol=1e-15)
