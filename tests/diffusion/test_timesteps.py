"""Noise levels: evenly spread over the global batch, and the same however it is split."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfjax.diffusion import timesteps

seeds = st.integers(0, 2**31 - 1)
totals = st.sampled_from([1, 2, 7, 48, 512])  # Few, since each size is compiled.


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
    whole = timesteps.stratified(key, jnp.arange(total), total)
    rows = np.array(data.draw(st.lists(st.integers(0, total - 1), min_size=4, max_size=4)))
    np.testing.assert_array_equal(timesteps.stratified(key, jnp.asarray(rows), total), np.asarray(whole)[rows])


def test_logit_normal_levels_have_its_mean_and_deviation():
    u = timesteps.stratified(jax.random.key(3), jnp.arange(20_000), 20_000)
    t = np.asarray(timesteps.logit_normal(u, 0.6, 0.8), np.float64)
    logit = np.log(t / (1 - t))
    np.testing.assert_allclose(logit.mean(), 0.6, atol=0.01)
    np.testing.assert_allclose(logit.std(), 0.8, atol=0.01)


def test_the_outermost_levels_are_finite():
    ends = timesteps.logit_normal(jnp.array([2.0**-25, 1 - 2.0**-24]), 0.0, 1.0)
    assert bool(jnp.all((ends > 0) & (ends < 1)))


def test_uniform_levels_are_the_strata_themselves():
    u = jnp.linspace(0.1, 0.9, 5)
    np.testing.assert_array_equal(timesteps.uniform(u), u)
