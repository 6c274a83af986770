"""What the network's output means, and the ways between the meanings."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.diffusion import prediction, schedule

levels = st.floats(0.05, 0.95)
schedules = st.sampled_from(sorted(schedule.SCHEDULES))
kinds = st.sampled_from(prediction.KINDS)


def _noised(name: str, t: float):
    """A picture, its noise, both mixed, and the level (alpha, sigma)."""
    rng = np.random.default_rng(0)
    x0, eps = (jnp.asarray(rng.normal(size=(2, 3)), jnp.float32) for _ in range(2))
    made = schedule.make(name)
    level = made.alpha(jnp.float32(t)), made.sigma(jnp.float32(t))
    return x0, eps, level[0] * x0 + level[1] * eps, level


@given(schedules, kinds, levels)
def test_every_prediction_gives_the_picture_back(name, kind, t):
    x0, _, z, level = _noised(name, t)
    value = prediction.from_x0(kind, x0, z, *level)
    np.testing.assert_allclose(prediction.to_x0(kind, value, z, *level), x0, atol=2e-4)


@given(schedules, kinds, levels)
def test_the_training_target_is_what_the_picture_converts_to(name, kind, t):
    x0, eps, z, level = _noised(name, t)
    np.testing.assert_allclose(
        prediction.target(kind, x0, eps, *level), prediction.from_x0(kind, x0, z, *level), atol=2e-4
    )


@given(schedules, kinds, levels)
def test_the_error_scale_is_the_ratio_of_the_errors(name, kind, t):
    x0, _, z, level = _noised(name, t)
    other = x0 + 0.5
    error = prediction.from_x0(kind, other, z, *level) - prediction.from_x0(kind, x0, z, *level)
    np.testing.assert_allclose(jnp.abs(error) / 0.5, prediction.error_scale(kind, *level, floor=1e-6), rtol=2e-3)


def test_the_floor_bounds_the_scale_where_there_is_no_noise():
    clean = (jnp.float32(1.0), jnp.float32(0.0))
    scales = {kind: float(prediction.error_scale(kind, *clean, floor=0.05)) for kind in prediction.KINDS}
    assert scales == pytest.approx({"x0": 1, "eps": 20, "v": 20, "flow": 20})


@pytest.mark.parametrize("kind", ["x0", "v", "flow"])
def test_pure_noise_is_turned_into_a_picture_without_dividing_by_zero(kind):
    x0, eps, z, level = _noised("cosine", 1.0)
    value = prediction.target(kind, x0, eps, *level)
    np.testing.assert_allclose(prediction.to_x0(kind, value, z, *level), x0, rtol=1e-6)


def test_an_unknown_kind_is_named():
    nothing = jnp.zeros(())
    for convert in (prediction.to_x0, prediction.from_x0):
        with pytest.raises(ValueError, match="'velocity' is not one of x0, eps, v, flow"):
            convert("velocity", nothing, nothing, nothing, nothing)
