"""The loss of a batch: nothing for the right answer, and the same error in whatever terms it is predicted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core import rng
from dfjax.core.registry import PREDICTIONS
from dfjax.diffusion import discrete, loss, prediction
from dfjax.diffusion.weighting import Weighting
from tests.analytic.choices import PAIRS, SCHEDULES
from tests.diffusion import published

SHAPE = (8, 4, 4, 3)
T = jnp.linspace(0.1, 0.9, SHAPE[0])


def _batch():
    x0 = jax.random.uniform(jax.random.key(0), SHAPE, minval=-1.0)
    return x0, jax.random.normal(jax.random.key(1), SHAPE)


def _losses(denoise, kind, terms, noising, floor=1e-6):
    return loss.per_example(denoise, *_batch(), T, schedule=noising, prediction=kind, weighting=Weighting(terms, floor))


def _answers(kind, noising, error):
    """A denoiser whose clean picture is wrong by ``error`` everywhere, said as ``kind``."""
    x0, eps = _batch()
    level = T[:, None, None, None]
    alpha, sigma = noising.alpha(level), noising.sigma(level)
    return lambda z, t: prediction.target(kind, x0 + error, eps - alpha / sigma * error, alpha, sigma)


@pytest.mark.parametrize(("kind", "label"), PAIRS)
def test_only_the_error_counts_not_how_it_is_predicted(kind, label):
    noising = SCHEDULES[label]
    weights = published.weights(np.asarray(noising.alpha(T)), np.asarray(noising.sigma(T)), 0.5)
    for terms in PREDICTIONS:
        np.testing.assert_array_equal(_losses(_answers(kind, noising, 0.0), kind, terms, noising), 0.0)
        wrong = _losses(_answers(kind, noising, 0.5), kind, terms, noising)
        np.testing.assert_allclose(wrong, 0.25 * weights[terms], rtol=2e-3)


def test_the_denoiser_sees_the_noised_picture_and_its_level():
    seen = []

    def denoise(z, t):
        seen.append((z, t))
        return jnp.zeros_like(z, jnp.bfloat16)

    losses = _losses(denoise, "x0", "x0", discrete.make("flow"))
    x0, eps = _batch()
    level = T[:, None, None, None]
    np.testing.assert_allclose(seen[0][0], (1 - level) * x0 + level * eps, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(seen[0][1], T)
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, jnp.mean(jnp.square(x0), axis=(1, 2, 3)), rtol=1e-6)


def test_noise_is_standard_normal_and_each_examples_own():
    keys = rng.per_example(rng.stream(0, "noise"), jnp.arange(64))
    noise = loss.gaussian(keys, (8, 8, 3))
    assert noise.shape == (64, 8, 8, 3)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.03)
    np.testing.assert_array_equal(loss.gaussian(keys[5:6], (8, 8, 3))[0], noise[5])
