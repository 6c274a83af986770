"""Schedules: clean at 0, the most noise at 1, and what shift and zero terminal SNR do between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.diffusion import discrete
from tests.analytic.choices import SCHEDULES

NAMES = ["flow", "cosine", "linear", "scaled_linear", "edm"]
SHIFTS = [1.0, 0.3, 3.0]
INTERIOR = np.linspace(0.01, 0.99, 99)
ENDS = np.array([0.0, 1.0])
times = st.floats(0.0, 1.0)
labels = st.sampled_from(sorted(SCHEDULES))


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("label", SCHEDULES)
def test_it_starts_clean_exactly_and_ends_in_pure_noise_exactly_or_not(label, array):
    made = SCHEDULES[label]
    alpha, sigma = made.alpha(array(ENDS)), made.sigma(array(ENDS))
    assert (alpha[0], sigma[0]) == (1.0, 0.0)
    assert (alpha[1] == 0.0) == made.ends_in_noise == ("zero" in label or label.startswith(("flow", "cosine")))
    if made.ends_in_noise:
        assert sigma[1] == 1.0
        assert np.isinf(made.ratio(ENDS)[1])


@pytest.mark.parametrize("label", SCHEDULES)
def test_noise_grows_and_the_picture_fades(label):
    made, t = SCHEDULES[label], np.linspace(0.0, 1.0, 401)
    assert np.all(np.diff(made.sigma(t)) > 0)
    assert np.all(np.diff(made.alpha(t)) < 0) or np.all(made.alpha(t) == 1.0) == (made.frame == "ve")
    assert np.all(np.diff(made.log_snr(t)[1:-1]) < 0)


@pytest.mark.parametrize("label", SCHEDULES)
def test_alpha_and_sigma_are_in_their_frame(label):
    made = SCHEDULES[label]
    alpha, sigma = made.alpha(INTERIOR), made.sigma(INTERIOR)
    size = {"vp": alpha**2 + sigma**2, "flow": alpha + sigma, "ve": alpha}[made.frame]
    np.testing.assert_allclose(size, 1.0, rtol=1e-14)
    np.testing.assert_allclose(made.log_snr(INTERIOR), 2 * np.log(alpha / sigma), rtol=1e-10, atol=1e-12)


def test_each_is_its_papers_own():
    t = INTERIOR
    rate, root = (20 - 0.1) / 2, np.sqrt(12) - np.sqrt(0.85)
    alphas = {
        "flow": 1 - t,
        "cosine": np.cos(np.pi * t / 2),
        "linear": np.exp(-0.5 * (0.1 * t + rate * t**2)),
        "scaled_linear": np.exp(-((np.sqrt(0.85) + root * t) ** 3 - 0.85**1.5) / (6 * root)),
        "edm": np.ones_like(t),
    }
    for name, alpha in alphas.items():
        np.testing.assert_allclose(discrete.make(name).alpha(t), alpha, rtol=1e-12)
    # EDM's steps from 80 to 0, even in sigma^(1/7).
    np.testing.assert_allclose(discrete.make("edm").sigma(t), (t * 80 ** (1 / 7)) ** 7, rtol=1e-12)


@given(labels, times)
def test_the_time_of_a_levels_ratio_is_that_level(label, t):
    made = SCHEDULES[label]
    with jax.enable_x64(True):
        for array in (np.asarray, jnp.asarray):
            at = array(t, np.float64)
            np.testing.assert_allclose(made.ratio(at), made.ratio(made.time(made.ratio(at))), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("label", SCHEDULES)
def test_the_time_of_any_ratio_is_between_the_ends_in_float32_too(label):
    made = SCHEDULES[label]
    ratios = np.array([0.0, 1e-30, 1e-8, 1.0, 1e4, 1e30, np.inf], np.float32)
    for t in (made.time(ratios), made.time(jnp.asarray(ratios))):
        assert t.dtype == np.float32
        assert np.all((t >= 0) & (t <= 1))
        assert np.all(np.diff(t) >= 0)
        assert (t[0], t[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("label", SCHEDULES)
def test_float32_has_the_digits_of_float64(label):
    made = SCHEDULES[label]
    t = np.geomspace(1e-4, 1.0, 200).astype(np.float32)
    for quantity in (made.alpha, made.sigma):
        np.testing.assert_allclose(quantity(jnp.asarray(t)), quantity(t.astype(np.float64)), rtol=2e-5, atol=1e-7)


@given(st.sampled_from(NAMES), st.floats(0.01, 100), st.floats(0.01, 0.99))
def test_a_shift_multiplies_the_ratio_in_the_same_frame(name, shift, t):
    plain, made = discrete.make(name), discrete.make(name, shift=shift)
    at = np.asarray(t)
    np.testing.assert_allclose(made.ratio(at), shift * plain.ratio(at), rtol=1e-12)
    np.testing.assert_allclose(plain.log_snr(at) - made.log_snr(at), 2 * np.log(shift), atol=1e-9)
    assert made.frame == plain.frame
    if name == "flow":
        np.testing.assert_allclose(made.sigma(at), shift * t / (1 + (shift - 1) * t), rtol=1e-12)


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_zero_terminal_lowers_alpha_evenly(name):
    plain, made, t = discrete.make(name), discrete.make(name, zero_terminal=True), np.linspace(0, 1, 101)
    end = plain.alpha(ENDS)[1]
    np.testing.assert_allclose(made.alpha(t), (plain.alpha(t) - end) / (1 - end), atol=1e-12)
    np.testing.assert_allclose(made.sigma(t) ** 2, 1 - made.alpha(t) ** 2, atol=1e-12)


@pytest.mark.parametrize("name", ["flow", "cosine", "edm"])
def test_zero_terminal_is_only_for_schedules_that_it_changes(name):
    with pytest.raises(ValueError, match=f"not {name}"):
        discrete.make(name, zero_terminal=True)


@pytest.mark.parametrize("label", SCHEDULES)
def test_the_type_of_t_is_kept(label):
    made = SCHEDULES[label]
    with jax.enable_x64(True):
        for t in (np.float32(0.5), np.asarray(0.5), jnp.float32(0.5), jnp.float64(0.5)):
            for quantity in (made.alpha, made.sigma, made.ratio, made.log_snr, made.time):
                assert quantity(t).dtype == t.dtype


def test_an_unknown_name_is_refused():
    with pytest.raises(KeyError):
        discrete.make("quadratic")
