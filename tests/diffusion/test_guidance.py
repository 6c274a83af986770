"""Guidance: a step beyond the better of two estimates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core.registry import GUIDANCE
from dfjax.diffusion import guidance

SHAPE = (3, 4, 4, 3)
SCALES = jnp.array([0.0, 1.0, 5.0])


def _pictures():
    return (jax.random.normal(jax.random.key(seed), SHAPE) for seed in (0, 1))


def test_each_picture_has_its_own_scale():
    conditional, other = jnp.full(SHAPE, 5.0), jnp.full(SHAPE, 4.0)
    guided = guidance.classifier_free(conditional, other, jnp.array([0.0, 1.0, 3.0]))
    np.testing.assert_array_equal(guided[:, 0, 0, 0], [4.0, 5.0, 7.0])


@pytest.mark.parametrize("method", GUIDANCE.values())
def test_a_scale_of_1_is_the_conditional_estimate_to_the_bit(method):
    conditional, other = _pictures()
    np.testing.assert_array_equal(method(conditional, other, jnp.ones(3)), conditional)
    np.testing.assert_array_equal(method(conditional, other, guidance.within(7 * jnp.ones(3), False)), conditional)
    np.testing.assert_array_equal(method(conditional, conditional, 7 * jnp.ones(3)), conditional)


@pytest.mark.parametrize("method", GUIDANCE.values())
def test_it_is_linear_in_the_scale(method):
    conditional, other = _pictures()
    beyond = method(conditional, other, SCALES) - conditional
    for sample, scale in enumerate(SCALES):
        one = method(conditional, other, jnp.full(3, 2.0)) - conditional
        np.testing.assert_allclose(beyond[sample], (scale - 1) * one[sample], atol=1e-5)


def test_classifier_free_guidance_is_the_papers():
    conditional, other = _pictures()
    scale = SCALES[:, None, None, None]
    expected = other + scale * (conditional - other)
    np.testing.assert_allclose(guidance.classifier_free(conditional, other, SCALES), expected, rtol=1e-5, atol=1e-5)


def test_projected_guidance_goes_at_right_angles_to_the_estimate():
    conditional, other = _pictures()
    beyond = guidance.projected(conditional, other, jnp.full(3, 3.0)) - conditional
    along = jnp.sum(beyond * conditional, axis=(1, 2, 3))
    np.testing.assert_allclose(along / jnp.sum(conditional**2, axis=(1, 2, 3)), 0.0, atol=1e-6)
    assert float(jnp.abs(beyond).max()) > 0.1
    # With the whole of the parallel part it is classifier-free guidance.
    whole = guidance.projected(conditional, other, SCALES, parallel=1.0)
    np.testing.assert_allclose(whole, guidance.classifier_free(conditional, other, SCALES), atol=1e-5)


@pytest.mark.parametrize("bound", [0.5, 100.0])
def test_projected_guidance_bounds_the_difference(bound):
    conditional, other = _pictures()
    beyond = guidance.projected(conditional, other, jnp.full(3, 2.0), parallel=1.0, norm=bound) - conditional
    length = jnp.linalg.norm(beyond.reshape(3, -1), axis=1)
    free = jnp.linalg.norm((conditional - other).reshape(3, -1), axis=1)
    np.testing.assert_allclose(length, jnp.minimum(free, bound), rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_rescaling_moves_the_contrast_to_that_of_the_conditional_estimate(share):
    conditional, other = _pictures()
    guided = guidance.classifier_free(conditional, other, SCALES)
    wanted, had, has = (
        jnp.std(x, axis=(1, 2, 3)) for x in (conditional, guided, guidance.rescaled(guided, conditional, share))
    )
    np.testing.assert_allclose(has, share * wanted + (1 - share) * had, rtol=1e-5)


@pytest.mark.parametrize("kind", [jnp.float32, jnp.bfloat16])
def test_nothing_to_guide_by_is_no_nan(kind):
    """Zero differences, zero and flat pictures."""
    zeros, ones = jnp.zeros(SHAPE, kind), jnp.ones(SHAPE, kind)
    for conditional in (zeros, ones):
        for other in (zeros, ones):
            guided = [
                guidance.classifier_free(conditional, other, SCALES),
                guidance.projected(conditional, other, SCALES),
                guidance.projected(conditional, other, SCALES, 0.5, 0.1),
            ]
            for x in guided:
                assert np.all(np.isfinite(x))
                assert np.all(np.isfinite(guidance.rescaled(x, conditional, 1.0)))
