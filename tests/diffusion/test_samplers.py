"""What solvers share; how near they come to the truth is in tests/analytic."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import samplers, schedule
from tests.analytic.gaussian import Gaussian

NOISE = jnp.linspace(-2.0, 2.0, 12).reshape(1, 2, 2, 3)


def _solve(sampler, noising, steps=6, film=False):
    def denoise(z, t):
        return Gaussian().denoise(noising, z, t)

    return samplers.solve(samplers.SAMPLERS[sampler], denoise, noising, NOISE, samplers.uniform_grid(steps), film)


def test_under_the_flow_schedule_ddim_is_euler():
    noising = schedule.make("flow")
    np.testing.assert_allclose(_solve("ddim", noising)[0], _solve("euler", noising)[0], atol=1e-5)


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_a_film_is_the_state_at_each_steps_start(sampler):
    noising = schedule.make("cosine")
    picture, film = _solve(sampler, noising, steps=6, film=True)
    assert film.shape == (6, *NOISE.shape)
    np.testing.assert_array_equal(film[0], NOISE)
    unfilmed, nothing = _solve(sampler, noising, steps=6)
    np.testing.assert_allclose(unfilmed, picture, atol=1e-6)
    assert nothing is None


def test_the_grid_goes_from_noise_to_picture():
    np.testing.assert_allclose(samplers.uniform_grid(4), [1, 0.75, 0.5, 0.25, 0])


def test_the_last_step_of_heun_is_eulers():
    noising = schedule.make("flow")

    def denoise(z, t):
        return Gaussian().denoise(noising, z, t)

    last, before = (0.25, 0.0), (0.5, 0.25)
    for (t, s), same in ((last, True), (before, False)):
        heun = samplers.heun_step(denoise, noising, NOISE, jnp.float32(t), jnp.float32(s))
        euler = samplers.euler_step(denoise, noising, NOISE, jnp.float32(t), jnp.float32(s))
        assert bool(jnp.allclose(heun, euler, atol=1e-5)) is same
