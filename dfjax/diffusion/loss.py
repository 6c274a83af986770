"""The training loss of one batch: noise it, call the denoiser, weigh the error."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dfjax.diffusion import prediction
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.weighting import Weighting

Images = Float[Array, "batch height width channels"]
Denoise = Callable[[Images, Float[Array, "batch"]], Images]


def gaussian(keys: Key[Array, "batch"], shape: tuple[int, ...]) -> Images:
    """Standard normal float32 noise, one draw of ``shape`` for each example's own key."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(keys)


def per_example(
    denoise: Denoise,
    x0: Images,
    eps: Images,
    t: Float[Array, "batch"],
    *,
    schedule: Schedule,
    kind: str,
    weighting: Weighting,
) -> Float[Array, "batch"]:
    """Weighted mean squared error of each example, for a denoiser that predicts ``kind``.

    The error is taken between the prediction and its own target, which divides by nothing.

    Args:
      denoise: (z, t) -> its prediction; sees at least float32 and may compute in less.
      x0: clean pictures in [-1, 1]. eps: standard normal noise. t: noise levels in [0, 1].
      kind: of ``prediction.KINDS``.
    """
    level = schedule.alpha(t), schedule.sigma(t)
    alpha, sigma = (value[:, None, None, None] for value in level)
    output = denoise(alpha * x0 + sigma * eps, t).astype(eps.dtype)
    error = output - prediction.target(kind, x0, eps, alpha, sigma, weighting.data_std)
    return weighting(kind, *level) * jnp.mean(jnp.square(error), axis=(1, 2, 3))
