"""The moving average of the weights, against numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import averaging


def test_the_decay_warms_up_to_its_value():
    decays = [float(averaging.ema_decay(jnp.int32(n), 0.95)) for n in (0, 1, 8, 10_000)]
    assert decays == pytest.approx([1 / 10, 2 / 11, 9 / 18, 0.95])


def test_it_follows_the_weights():
    rng = np.random.default_rng(0)
    average = expected = np.zeros(5, np.float32)
    for n in range(30):
        weights = rng.normal(size=5).astype(np.float32)
        average = averaging.ema_update({"w": average}, {"w": weights}, jnp.int32(n), 0.9)["w"]
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weights
    np.testing.assert_allclose(average, expected, rtol=1e-5)


def test_the_average_of_weights_that_stay_is_those_weights():
    weights = {"w": jnp.array([0.1, -3.0])}
    np.testing.assert_array_equal(averaging.ema_update(weights, weights, jnp.int32(5), 0.999)["w"], weights["w"])


@pytest.mark.parametrize(("std", "gamma"), [(0.01, 96.995), (0.05, 16.97), (0.1, 6.94), (12**-0.5, 0.0)])
def test_the_length_gives_the_exponent_and_back(std, gamma):
    # The paper names 16.97 and 6.94.
    assert averaging.power_gamma(std) == pytest.approx(gamma, abs=5e-3)
    assert averaging.power_std(averaging.power_gamma(std)) == pytest.approx(std, rel=1e-12)


def test_the_length_is_the_standard_deviation_of_the_profile():
    tau = (np.arange(100_000) + 0.5) / 100_000
    profile = tau ** averaging.power_gamma(0.07)
    mean = np.average(tau, weights=profile)
    assert np.average((tau - mean) ** 2, weights=profile) ** 0.5 == pytest.approx(0.07, rel=1e-6)


@pytest.mark.parametrize("std", [0.0, -0.1, 0.29, float("nan")])
def test_a_length_that_no_exponent_has_is_refused(std):
    with pytest.raises(ValueError, match=r"must be above 0 and at most 0\.2887, not"):
        averaging.power_gamma(std)


@pytest.mark.parametrize("std", [0.05, 0.2])
def test_the_power_average_weighs_each_step_by_the_integral_of_the_profile(std):
    steps, power = 50, averaging.power_gamma(std) + 1
    average = np.full(steps, 7.0, np.float32)
    for n in range(1, steps + 1):
        # The parameters of step k are the k-th unit vector, so that the average is the list of the weights.
        average = averaging.power_update({"w": average}, {"w": np.eye(steps)[n - 1]}, jnp.int32(n), std)["w"]
    np.testing.assert_allclose(average, np.diff((np.arange(steps + 1) / steps) ** power), atol=2e-7)


def test_the_newest_share_is_exact_from_the_first_step_to_the_last():
    gamma = averaging.power_gamma(0.05)
    assert averaging.power_share(jnp.int32(1), gamma) == 1.0
    for n in (2, 1000, 10_000_000):
        exact = -np.expm1((gamma + 1) * np.log1p(-1 / n))
        assert float(averaging.power_share(jnp.int32(n), gamma)) == pytest.approx(exact, rel=1e-6)
