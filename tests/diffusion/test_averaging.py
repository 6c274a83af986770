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
