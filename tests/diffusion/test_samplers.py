"""The loop that runs a table; how near its pictures come to the truth is in tests/analytic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core import rng
from dfjax.diffusion import grids, loss, samplers
from tests.analytic.choices import SCHEDULES
from tests.analytic.gaussian import Mixture

STOCHASTIC = [("ddpm", None), ("ddim", 0.5), ("euler_ancestral", None), ("dpmpp_2m_sde", None), ("heun", 3.0)]
SHAPE = (2, 2, 3)


def _noise(index):
    """Start noise and each step's, by the samples' own keys."""
    keys = rng.per_example(rng.stream(0, "start"), index)

    def step(i):
        return loss.gaussian(rng.per_example(rng.stream(0, "sampler", i), index), SHAPE)

    return loss.gaussian(keys, SHAPE), step


def _solve(name, label="cosine", steps=6, option=None, index=(0, 1, 2, 3), film=False):
    schedule = SCHEDULES[label]
    table = samplers.table(name, schedule, grids.make("trailing", schedule, steps), option)
    start, step = _noise(jnp.asarray(index))
    return samplers.solve(table, lambda z, t: Mixture().denoise(schedule, z, t), start, step, film=film)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_a_film_is_the_state_at_each_steps_start(name):
    picture, film = _solve(name, film=True)
    assert film.shape == (6, 4, *SHAPE)
    np.testing.assert_array_equal(film[0], _noise(jnp.arange(4))[0])
    if name in ("heun", "unipc_2"):
        unfilmed, nothing = _solve(name)
        np.testing.assert_allclose(unfilmed, picture, atol=1e-6)
        assert nothing is None


@pytest.mark.parametrize(("name", "option"), STOCHASTIC)
def test_a_sample_does_not_depend_on_its_batch(name, option):
    whole, _ = _solve(name, option=option)
    some, _ = _solve(name, option=option, index=(3, 1))
    np.testing.assert_allclose(some, np.asarray(whole)[[3, 1]], atol=1e-5)
    others, _ = _solve(name, option=option, index=(4, 5, 6, 7))
    assert np.abs(others - whole).min(axis=(1, 2, 3)).max() > 1e-3


@pytest.mark.parametrize(("name", "option"), STOCHASTIC)
def test_noise_is_needed_where_it_is_drawn_and_each_steps_own(name, option):
    schedule = SCHEDULES["edm"]
    table = samplers.table(name, schedule, grids.make("trailing", schedule, 4), option)
    with pytest.raises(ValueError, match="noise"):
        samplers.solve(table, lambda z, t: z, jnp.zeros((1, *SHAPE)))
    # With nothing but noise in it, the state is the sum of what each step drew: none twice. Heun's first step has no
    # room above it for churn.
    drawn = jnp.stack([jnp.zeros((1, *SHAPE)).at[0, i // 2, i % 2, 0].set(1.0) for i in range(4)])
    end, film = samplers.solve(table, lambda z, t: 0 * z, jnp.zeros((1, *SHAPE)), lambda i: drawn[i], film=True)
    assert np.count_nonzero(film[-1]) == (2 if name == "heun" else 3)
    np.testing.assert_array_equal(end, 0.0)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_the_network_is_called_at_the_tables_times(name):
    schedule, seen = SCHEDULES["flow"], []
    table = samplers.table(name, schedule, grids.make("trailing", schedule, 5))

    def denoise(z, t):
        jax.debug.callback(lambda t: seen.append(float(t)), t, ordered=True)
        return 0.5 * jnp.tanh(z)

    start, step = _noise(jnp.arange(1))
    jax.block_until_ready(samplers.solve(table, denoise, start, step))
    jax.effects_barrier()
    assert len(seen) == samplers.calls(table)
    assert set(np.float32(table.t)) <= set(np.float32(seen))


@pytest.mark.gate(22)
@pytest.mark.parametrize("label", ["flow", "edm"])
@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_one_single_picture_is_found_exactly(name, label):
    """Whatever the number of steps, since a step is exact where the estimate does not change."""
    schedule, picture = SCHEDULES[label], jnp.linspace(-1.0, 1.0, 12).reshape(1, *SHAPE)
    table = samplers.table(name, schedule, grids.make("karras", schedule, 3))
    one = np.ones((), np.float32)
    start, step = _noise(jnp.arange(1))
    end, _ = samplers.solve(
        table, lambda z, t: picture, schedule.alpha(one) * picture + schedule.sigma(one) * start, step
    )
    np.testing.assert_allclose(end, picture, atol=1e-5)
