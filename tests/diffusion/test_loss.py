"""The loss of a batch: nothing for the right answer, and the same error in whatever terms it is predicted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core import rng
from dfjax.diffusion import loss, prediction, schedule

SHAPE = (8, 4, 4, 3)
T = jnp.linspace(0.1, 0.9, SHAPE[0])


def _batch():
    x0 = jax.random.uniform(jax.random.key(0), SHAPE, minval=-1.0)
    return x0, jax.random.normal(jax.random.key(1), SHAPE)


def _losses(denoise, kind, terms, noising, floor=1e-6):
    return loss.per_example(denoise, *_batch(), T, schedule=noising, kind=kind, loss=terms, floor=floor)


def _answers(kind, noising, error):
    """A denoiser whose clean picture is wrong by ``error`` everywhere, said as ``kind``."""
    x0, _ = _batch()

    def denoise(z, t):
        level = t[:, None, None, None]
        return prediction.from_x0(kind, x0 + error, z, noising.alpha(level), noising.sigma(level))

    return denoise


@pytest.mark.parametrize("name", sorted(schedule.SCHEDULES))
@pytest.mark.parametrize("kind", prediction.KINDS)
@pytest.mark.parametrize("terms", prediction.KINDS)
def test_only_the_error_counts_not_how_it_is_predicted(kind, terms, name):
    noising = schedule.make(name)
    np.testing.assert_allclose(_losses(_answers(kind, noising, 0.0), kind, terms, noising), 0.0, atol=1e-9)
    wrong = _losses(_answers(kind, noising, 0.5), kind, terms, noising)
    scale = prediction.error_scale(terms, noising.alpha(T), noising.sigma(T), 1e-6)
    np.testing.assert_allclose(wrong, jnp.square(0.5 * scale), rtol=2e-4)


def test_the_floor_bounds_the_weight_of_nearly_clean_pictures():
    noising = schedule.make("flow")
    wrong = _losses(_answers("x0", noising, 0.5), "x0", "flow", noising, floor=0.5)
    np.testing.assert_allclose(wrong, jnp.square(0.5 / jnp.maximum(T, 0.5)), rtol=1e-5)


def test_the_denoiser_sees_the_noised_picture_and_its_level():
    seen = []

    def denoise(z, t):
        seen.append((z, t))
        return jnp.zeros_like(z, jnp.bfloat16)

    losses = _losses(denoise, "x0", "x0", schedule.make("flow"))
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
