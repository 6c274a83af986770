"""The training loss of one batch: noise it, call the denoiser, weigh the error."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dfjax.diffusion import prediction
from dfjax.diffusion.schedule import Schedule

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
    loss: str,
    floor: float,
) -> Float[Array, "batch"]:
    """Mean squared error of each example, in terms of ``loss``, for a denoiser that predicts ``kind``.

    Args:
      denoise: (z, t) -> its prediction; sees float32 and may compute in less.
      x0: clean pictures in [-1, 1]. eps: standard normal noise. t: noise levels in [0, 1].
      kind, loss: of ``prediction.KINDS``. Where they are equal the error is taken directly; else the prediction is
        turned into x0 and its error is scaled (``prediction.error_scale``).
      floor: smallest divisor in those conversions.
    """
    level = t[:, None, None, None]
    alpha, sigma = schedule.alpha(level), schedule.sigma(level)
    z = alpha * x0 + sigma * eps
    output = denoise(z, t).astype(jnp.float32)
    if kind == loss:
        error = output - prediction.target(kind, x0, eps, alpha, sigma)
    else:
        error = prediction.to_x0(kind, output, z, alpha, sigma, floor) - x0
        error = error * prediction.error_scale(loss, alpha, sigma, floor)
    return jnp.mean(jnp.square(error), axis=(1, 2, 3))
