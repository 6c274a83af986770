"""Schedules: clean at 0, pure noise at 1, and what the shift does between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.diffusion import schedule

NAMES = sorted(schedule.SCHEDULES)
SHIFTS = [1.0, 0.3, 3.0]
INTERIOR = np.linspace(0.01, 0.99, 99, dtype=np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_it_starts_clean_and_ends_in_pure_noise_exactly(name, shift):
    made = schedule.make(name, shift)
    ends = jnp.array([0.0, 1.0])
    np.testing.assert_array_equal(made.alpha(ends), [1.0, 0.0])
    np.testing.assert_array_equal(made.sigma(ends), [0.0, 1.0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_noise_grows_and_the_picture_fades(name, shift):
    made = schedule.make(name, shift)
    t = jnp.linspace(0.0, 1.0, 201)
    assert bool(jnp.all(jnp.diff(made.alpha(t)) < 0))
    assert bool(jnp.all(jnp.diff(made.sigma(t)) > 0))
    assert bool(jnp.all(jnp.diff(made.log_snr(t[1:-1])) < 0))


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_schedule_keeps_its_kind_when_shifted(shift):
    flow, cosine = schedule.make("flow", shift), schedule.make("cosine", shift)
    np.testing.assert_allclose(flow.alpha(INTERIOR) + flow.sigma(INTERIOR), 1.0, rtol=1e-6)
    np.testing.assert_allclose(cosine.alpha(INTERIOR) ** 2 + cosine.sigma(INTERIOR) ** 2, 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(shift=st.floats(0.05, 20), t=st.floats(0.01, 0.99))
def test_a_shift_lowers_log_snr_by_twice_its_logarithm(name, shift, t):
    fall = schedule.make(name).log_snr(jnp.float32(t)) - schedule.make(name, shift).log_snr(jnp.float32(t))
    assert float(fall) == pytest.approx(2 * np.log(shift), abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_slopes_are_the_derivatives(name, shift):
    with jax.enable_x64(True):
        made, t, h = schedule.make(name, shift), jnp.linspace(0.05, 0.95, 19), 1e-6
        for slope, value in zip(made.slopes(t), (made.alpha, made.sigma), strict=True):
            np.testing.assert_allclose(slope, (value(t + h) - value(t - h)) / (2 * h), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_double_precision_stays_double(name):
    with jax.enable_x64(True):
        assert schedule.make(name, 2.0).alpha(jnp.float64(0.5)).dtype == jnp.float64


def test_an_unknown_name_is_refused():
    with pytest.raises(KeyError):
        schedule.make("linear")
