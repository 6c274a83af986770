"""Discrete timesteps: DDPM's own table, and continuous time between."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import discrete

NAMES = ["linear", "scaled_linear"]


def _products(name: str) -> np.ndarray:
    """Alpha-bar of DDPM and of Stable Diffusion, from their published betas."""
    betas = np.linspace(1e-4, 0.02, 1000) if name == "linear" else np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.cumprod(1 - betas)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_through_the_published_cumulative_products(name):
    t = np.arange(1, 1001) / 1000
    made = discrete.make(name, steps=1000)
    np.testing.assert_allclose(made.alpha(t) ** 2, _products(name), rtol=1e-12)
    alpha, sigma = (quantity(jnp.asarray(t, jnp.float32)) for quantity in (made.alpha, made.sigma))
    np.testing.assert_allclose(alpha, np.sqrt(_products(name)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(sigma, np.sqrt(1 - _products(name)), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rescaled_it_keeps_its_first_alpha_and_ends_in_noise(name):
    """Algorithm 1 of arXiv 2305.08891."""
    t = np.arange(1, 1001) / 1000
    root = np.sqrt(_products(name))
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    np.testing.assert_allclose(discrete.make(name, zero_terminal=True, steps=1000).alpha(t), expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_with_many_levels_it_is_the_continuous_schedule(name):
    t = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(
        discrete.make(name, steps=20_000).log_snr(t), discrete.make(name).log_snr(t), rtol=0, atol=5e-3
    )


def test_others_have_levels_but_no_table():
    t = np.linspace(0, 1, 11)
    np.testing.assert_array_equal(discrete.make("flow", steps=1000).sigma(t), t)
    with pytest.raises(KeyError):
        discrete.betas("flow", 1000)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_times_move_up_to_a_level_and_levels_stay(array):
    levels = array(np.arange(1, 1001) / 1000)
    np.testing.assert_allclose(discrete.snap(levels, 1000), levels, rtol=1e-6)
    np.testing.assert_allclose(
        discrete.snap(array([0.0, 0.0001, 0.0011, 0.9999, 1.0]), 1000), [0.001, 0.001, 0.002, 1, 1]
    )


def test_a_level_is_counted_from_0_and_has_fractions():
    np.testing.assert_allclose(discrete.level(np.array([0.001, 0.0015, 1.0]), 1000), [0, 0.5, 999], atol=1e-9)
