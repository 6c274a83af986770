"""Editing with every sampler: the known region stays known, and a little strength changes little."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import editing, grids, samplers
from tests.analytic.choices import SCHEDULES, Levels, levels
from tests.analytic.gaussian import Mixture

LABELS = ["flow", "edm"]
CHOICES = [*((name, None) for name in samplers.SAMPLERS), ("ddim", 0.5), ("heun", 3.0)]
SHAPE = (2, 4, 4, 3)
KNOWN = jax.random.uniform(jax.random.key(0), SHAPE, minval=-1.0)
NOISE = jax.random.normal(jax.random.key(1), SHAPE)
# Left half kept, and between the two a column that is mixed.
MASK = jnp.broadcast_to(jnp.array([0.0, 0.0, 0.5, 1.0])[:, None], (2, 4, 4, 1))


@jax.jit
def _solve(table, levels: Levels, start, mask):
    """Values are a mixture's, all samplers of one form one compilation."""

    def denoise(z, t):
        return Mixture.data.estimate(z[..., None], *levels.at(t))[0][..., 0]

    def noise(step):
        return jax.random.normal(jax.random.fold_in(jax.random.key(2), step), start.shape)

    return samplers.solve(table, editing.inpaint(denoise, KNOWN, mask), start, noise, film=True)


def _edited(name, option, label, times, mask=1.0):
    """The known pictures at the first of the times, and drawn from there; with the states on the way."""
    schedule = SCHEDULES[label]
    start = editing.noised(KNOWN, NOISE, float(schedule.alpha(times[0])), float(schedule.sigma(times[0])))
    table = samplers.table(name, schedule, times, option)
    return _solve(table, levels(table, label), start, mask * jnp.ones((2, 4, 4, 1)))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("name", "option"), CHOICES)
def test_inpainting_keeps_what_is_known(name, option, label):
    schedule = SCHEDULES[label]
    times = grids.make("karras", schedule, 5)
    end, film = _edited(name, option, label, times, MASK)
    kept, drawn = (np.broadcast_to(value == MASK, SHAPE) for value in (0.0, 1.0))
    np.testing.assert_allclose(end[kept], KNOWN[kept], atol=1e-5)
    assert np.abs(end - KNOWN)[drawn].max() > 0.1
    if not samplers.is_stochastic(samplers.table(name, schedule, times, option)):
        for frame, t in zip(film, times[:-1], strict=True):
            alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
            np.testing.assert_allclose(frame[kept], (alpha * KNOWN + sigma * NOISE)[kept], atol=1e-5 * (1 + sigma))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("name", "option"), CHOICES)
def test_a_little_strength_gives_nearly_the_picture_back(name, option, label):
    whole = grids.make("log_snr", SCHEDULES[label], 40, grids.Ends(0.004, 20.0))
    end, film = _edited(name, option, label, grids.last_share(whole, 0.125))
    assert len(film) == 5
    assert 0 < float(jnp.abs(end - KNOWN).max()) < 0.06


@pytest.mark.parametrize(("name", "option"), CHOICES)
def test_the_exact_denoiser_keeps_the_datas_distribution(name, option):
    """Pictures of the mixture, most of their detail redrawn, are of the mixture."""
    schedule, n = SCHEDULES["linear"], 4096
    times = grids.last_share(grids.make("log_snr", schedule, 24, grids.Ends(0.01, 20.0)), 0.7)
    table = samplers.table(name, schedule, times, option)
    rng = np.random.default_rng(0)
    x = Mixture.data.sample(rng, n).reshape(-1, 4, 4, 1)
    z = editing.noised(x, rng.normal(size=x.shape), schedule.alpha(times[0]), schedule.sigma(times[0]))
    end = np.asarray(_redrawn(table, levels(table, "linear"), z.astype(np.float32)))
    assert np.abs(end - x).mean() > 0.1
    std = Mixture.data.cov[0, 0] ** 0.5
    # The standard errors are 0.016 and 0.01; the rest is discretisation's.
    np.testing.assert_allclose(
        [end.mean(), end.std()], [Mixture.data.mean[0], std], atol=0.06 + 0.06 * (name == "ddpm")
    )


@jax.jit
def _redrawn(table, levels: Levels, start):
    def noise(step):
        return jax.random.normal(jax.random.fold_in(jax.random.key(2), step), start.shape)

    return samplers.solve(table, lambda z, t: Mixture.data.estimate(z, *levels.at(t))[0], start, noise)[0]


def test_no_strength_is_no_step():
    times = grids.last_share(np.linspace(1.0, 0.0, 11), 0.0)
    np.testing.assert_array_equal(times, [0.0])
    np.testing.assert_array_equal(editing.noised(KNOWN, NOISE, 1.0, 0.0), KNOWN)
