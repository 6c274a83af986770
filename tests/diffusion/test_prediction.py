"""What the network's output means, and the ways between the meanings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core.registry import RegistryError
from dfjax.diffusion import prediction
from tests.analytic.choices import PAIRS, SCHEDULES
from tests.diffusion import published

times = st.floats(0.05, 0.95)
pairs = st.sampled_from(PAIRS)
D = 0.6


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def _noised(label: str, t: float):
    """A picture, its noise, both mixed, and the level (alpha, sigma)."""
    rng = np.random.default_rng(0)
    x0, eps = (jnp.asarray(rng.normal(size=(2, 3))) for _ in range(2))
    level = tuple(
        jnp.asarray(value) for value in (SCHEDULES[label].alpha(np.asarray(t)), SCHEDULES[label].sigma(np.asarray(t)))
    )
    return x0, eps, level[0] * x0 + level[1] * eps, level


@given(pairs, times)
def test_the_training_target_is_the_published_one(pair, t):
    x0, eps, _, level = _noised(pair[1], t)
    expected = published.outputs(*(np.asarray(value) for value in (x0, eps, *level)), D)[pair[0]]
    np.testing.assert_allclose(prediction.target(pair[0], x0, eps, *level, D), expected, rtol=1e-7, atol=1e-7)


@given(pairs, times)
def test_every_prediction_gives_the_picture_back(pair, t):
    x0, eps, z, level = _noised(pair[1], t)
    value = prediction.target(pair[0], x0, eps, *level, D)
    np.testing.assert_allclose(prediction.from_x0(pair[0], x0, z, *level, D), value, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(prediction.to_x0(pair[0], value, z, *level, D), x0, atol=1e-9)


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize(("kind", "label"), PAIRS)
def test_the_ends_are_turned_into_a_picture_without_dividing_by_zero(kind, label, t):
    x0, eps, z, level = _noised(label, t)
    value = prediction.target(kind, x0, eps, *level, D)
    np.testing.assert_allclose(prediction.to_x0(kind, value, z, *level, D), x0, rtol=1e-9, atol=1e-9)


def test_eps_is_refused_where_nothing_of_the_picture_is_left():
    refused = {label for label, schedule in SCHEDULES.items() if not prediction.admitted("eps", schedule)}
    assert refused == {label for label in SCHEDULES if label.startswith(("flow", "cosine")) or "zero" in label}
    assert len(PAIRS) == 5 * len(SCHEDULES) - len(refused)


@given(pairs, times)
def test_sensitivity_is_the_ratio_of_the_errors(pair, t):
    x0, _, z, level = _noised(pair[1], t)
    error = prediction.from_x0(pair[0], x0 + 0.5, z, *level, D) - prediction.from_x0(pair[0], x0, z, *level, D)
    scale = prediction.sensitivity(pair[0], *level, D) / level[1]
    np.testing.assert_allclose(jnp.abs(error) / 0.5, jnp.broadcast_to(scale, error.shape), rtol=1e-5)


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0.0, 1.0))
def test_edms_input_has_unit_variance(label, t):
    alpha, sigma = SCHEDULES[label].alpha(np.asarray(t)), SCHEDULES[label].sigma(np.asarray(t))
    scale = prediction.input_scale("edm", SCHEDULES[label].frame, alpha, sigma, D)
    np.testing.assert_allclose(scale**2 * (alpha**2 * D**2 + sigma**2), 1.0, rtol=1e-9)
    others = prediction.input_scale("v", SCHEDULES[label].frame, alpha, sigma, D)
    np.testing.assert_allclose(others * np.hypot(alpha, sigma) if label == "edm" else others, 1.0, rtol=1e-9)


def test_an_unknown_kind_is_named():
    nothing = jnp.zeros(())
    for convert in (prediction.to_x0, prediction.from_x0, prediction.target):
        with pytest.raises(RegistryError, match="'velocity', but x0, eps, v, flow, edm"):
            convert("velocity", nothing, nothing, nothing, nothing)
    with pytest.raises(RegistryError, match="'velocity'"):
        prediction.sensitivity("velocity", nothing, nothing)
