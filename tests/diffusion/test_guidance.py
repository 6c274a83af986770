"""Classifier-free guidance: a line through two predictions."""

import jax.numpy as jnp
import numpy as np

from dfjax.diffusion import guidance

CONDITIONAL, UNCONDITIONAL = jnp.full((3, 2, 2, 1), 5.0), jnp.full((3, 2, 2, 1), 4.0)


def test_each_picture_has_its_own_scale():
    guided = guidance.classifier_free(CONDITIONAL, UNCONDITIONAL, jnp.array([0.0, 1.0, 3.0]))
    np.testing.assert_array_equal(guided[:, 0, 0, 0], [4.0, 5.0, 7.0])


def test_outside_the_interval_the_prompt_alone_speaks():
    guided = guidance.classifier_free(CONDITIONAL, UNCONDITIONAL, jnp.array([0.0, 2.0, 9.0]), jnp.bool_(False))
    np.testing.assert_array_equal(guided, CONDITIONAL)
