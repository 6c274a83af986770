"""Noise levels: evenly spread over the global batch, the same however it is split, of the density asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from dfjax.diffusion import timesteps
from tests.analytic.choices import SCHEDULES

seeds = st.integers(0, 2**31 - 1)
totals = st.sampled_from([1, 2, 7, 48, 512])  # Few, since each size is compiled.
MODES = [-1.0, -0.5, 0.0, 0.81, 1.29, 1.75]
# The outermost numbers that there are, and some between.
U = np.unique(np.concatenate([[2.0**-25, 1 - 2.0**-24], np.linspace(0, 1, 2003)[1:-1]])).astype(np.float32)

DENSITIES = {
    "uniform": timesteps.uniform,
    "logit_normal": lambda u: timesteps.logit_normal(u, 0.6, 0.8),
    "logit_normal, widest": lambda u: timesteps.logit_normal(u, -10.0, 10.0),
    "cosine_mapped": timesteps.cosine_mapped,
    **{f"mode {scale}": lambda u, scale=scale: timesteps.mode(u, scale) for scale in MODES},
    **{
        f"log_normal, {label}": lambda u, schedule=schedule: timesteps.log_normal(u, -1.2, 1.2, schedule)
        for label, schedule in SCHEDULES.items()
    },
    **{
        f"log_normal, widest, {label}": lambda u, schedule=schedule: timesteps.log_normal(u, 10.0, 10.0, schedule)
        for label, schedule in SCHEDULES.items()
    },
}


@given(seeds, totals)
def test_each_stratum_gets_one_level(seed, total):
    u = np.sort(timesteps.stratified(jax.random.key(seed), jnp.arange(total), total))
    assert u[0] > 0
    assert u[-1] < 1
    np.testing.assert_allclose(np.diff(u), 1 / total, atol=1e-6)
    assert u[0] <= 1 / total + 1e-6


@given(seeds, totals, st.data())
def test_a_row_has_its_level_in_whatever_company(seed, total, data):
    key = jax.random.key(seed)
    whole = np.asarray(timesteps.stratified(key, jnp.arange(total), total))
    rows = np.array(data.draw(st.lists(st.integers(0, total - 1), min_size=4, max_size=4)))
    np.testing.assert_array_equal(timesteps.stratified(key, jnp.asarray(rows), total), whole[rows])


@pytest.mark.parametrize("density", DENSITIES)
def test_a_density_is_the_same_function_of_each_number(density):
    """To the bit, once compiled; tests/multidevice has it with the compiler's optimizations and a split batch."""
    u, compiled = jnp.asarray(U[:: len(U) // 64][:64]), jax.jit(DENSITIES[density])
    whole = np.asarray(compiled(u))
    for part in (u[:32], u[32:], u[::2], u[5:6]):
        np.testing.assert_array_equal(compiled(part), whole[np.searchsorted(u, part)])


@pytest.mark.parametrize("density", DENSITIES)
def test_levels_grow_from_0_to_1_with_their_number(density):
    t = np.asarray(DENSITIES[density](jnp.asarray(U)))
    assert t.dtype == np.float32
    assert np.all((t >= 0) & (t <= 1))
    # Up to rounding.
    assert np.all(np.diff(t) >= -4e-6)


def test_levels_have_the_published_densities():
    u = ((np.arange(20_000) + 0.5) / 20_000).astype(np.float32).astype(np.float64)
    normal = special.ndtri(u)
    expected = {
        "uniform": u,
        "logit_normal": special.expit(0.6 + 0.8 * normal),
        "cosine_mapped": 1 - 1 / (np.tan(np.pi / 2 * u) + 1),
        **{f"mode {s}": u - s * (np.cos(np.pi / 2 * (1 - u)) ** 2 - u) for s in MODES},
    }
    for density, t in expected.items():
        np.testing.assert_allclose(DENSITIES[density](jnp.asarray(u, jnp.float32)), t, atol=2e-6, err_msg=density)


@pytest.mark.parametrize("label", SCHEDULES)
def test_a_log_normal_ratio_is_so_under_every_schedule_up_to_its_most_noise(label):
    u = (np.arange(2_000) + 0.5) / 2_000
    t = timesteps.log_normal(jnp.asarray(u, jnp.float32), -1.2, 1.2, SCHEDULES[label])
    expected = np.minimum(np.exp(-1.2 + 1.2 * special.ndtri(u)), SCHEDULES[label].ratio(np.ones(())))
    np.testing.assert_allclose(SCHEDULES[label].ratio(np.asarray(t, np.float64)), expected, rtol=2e-4)


def test_cosine_mapped_levels_give_flow_the_log_snr_of_cosine():
    u = np.linspace(0.01, 0.99, 99)
    t = np.asarray(timesteps.cosine_mapped(jnp.asarray(u, jnp.float32)), np.float64)
    np.testing.assert_allclose(SCHEDULES["flow"].log_snr(t), SCHEDULES["cosine"].log_snr(u), atol=2e-5)


def test_a_positive_mode_is_more_in_the_middle_and_a_negative_one_at_the_ends():
    u = jnp.asarray(U)
    inside = {scale: float(np.mean(np.abs(timesteps.mode(u, scale) - 0.5) < 0.25)) for scale in MODES}
    assert np.all(np.diff(list(inside.values())) > 0)
    assert inside[0.0] == pytest.approx(0.5, abs=2e-3)
