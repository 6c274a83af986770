"""How much noise levels count: the published weights, finite at both ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core.registry import LOSSES, PREDICTIONS, RegistryError
from dfjax.diffusion import weighting
from dfjax.diffusion.weighting import Weighting
from tests.analytic.choices import SCHEDULES
from tests.diffusion import published

CONSTANTS = {"gamma": 3.0, "bias": -1.5, "p2_gamma": 0.7, "p2_k": 2.0}


def _weighting(terms: str, floor: float = 1e-9) -> Weighting:
    return Weighting(terms, floor, 0.6, CONSTANTS["gamma"], CONSTANTS["bias"], CONSTANTS["p2_gamma"], CONSTANTS["p2_k"])


@given(
    st.sampled_from([terms for terms in LOSSES if terms != "constant"]),
    st.sampled_from(sorted(PREDICTIONS)),
    st.sampled_from(sorted(SCHEDULES)),
    st.floats(0.05, 0.95),
)
def test_it_is_the_published_weight_in_whatever_is_predicted(terms, kind, label, t):
    """The weight of an x0 error is that of the prediction's own, times the square of how much larger that one is."""
    alpha, sigma = SCHEDULES[label].alpha(np.asarray(t)), SCHEDULES[label].sigma(np.asarray(t))
    with jax.enable_x64(True):
        found = np.asarray(_weighting(terms)(kind, jnp.asarray(alpha), jnp.asarray(sigma)))
    weights = published.weights(alpha, sigma, 0.6, **CONSTANTS)
    np.testing.assert_allclose(found * weights[kind], weights[terms], rtol=1e-9)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_the_predictions_own_loss_and_the_constant_one_weigh_all_levels_alike(kind):
    alpha, sigma = jnp.linspace(0.0, 1.0, 11), jnp.linspace(1.0, 0.0, 11)
    for terms in ("constant", kind):
        np.testing.assert_array_equal(Weighting(terms)(kind, alpha, sigma), jnp.ones(11))


@pytest.mark.parametrize("label", SCHEDULES)
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("terms", LOSSES)
def test_it_is_finite_at_both_ends(terms, kind, label):
    t = jnp.array([0.0, 1e-30, 1e-6, 1.0 - 2.0**-24, 1.0])
    found = _weighting(terms, floor=0.05)(kind, SCHEDULES[label].alpha(t), SCHEDULES[label].sigma(t))
    assert np.all(np.isfinite(found)), found
    assert np.all(found >= 0)


def test_the_floor_bounds_the_weight_of_nearly_clean_pictures():
    sigma = jnp.linspace(0.0, 1.0, 11)
    weight = Weighting("flow", floor=0.5)("x0", 1 - sigma, sigma)
    np.testing.assert_allclose(weight, 1 / np.maximum(sigma, 0.5) ** 2, rtol=1e-6)


def test_an_unknown_loss_is_named():
    with pytest.raises(RegistryError, match="'huber'"):
        Weighting("huber")("x0", jnp.ones(1), jnp.ones(1))


@given(st.floats(1e-3, 1e3))
def test_the_learned_log_variance_is_best_at_the_logarithm_of_the_loss(loss):
    losses = jnp.array([loss], jnp.float32)
    slope = jax.grad(lambda u: weighting.learned(losses, u).sum())
    np.testing.assert_allclose(slope(jnp.log(losses)), 0.0, atol=1e-5)
    assert slope(jnp.log(losses) + 0.1)[0] > 0 > slope(jnp.log(losses) - 0.1)[0]


def test_the_pull_of_a_level_at_that_optimum_is_the_same_whatever_its_loss():
    losses = jnp.array([1e-3, 1.0, 1e3])
    pull = jax.grad(lambda scale: weighting.learned(scale * losses, jnp.log(losses)).sum() / 3)(1.0)
    each = jax.vmap(jax.grad(lambda loss, u: weighting.learned(loss, u)))(losses, jnp.log(losses)) * losses
    np.testing.assert_allclose(each, 1.0, rtol=1e-5)
    np.testing.assert_allclose(pull, 1.0, rtol=1e-5)
