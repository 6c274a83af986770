"""The training loss of one batch: noise it, call the network, weigh the error."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dfjax.diffusion import prediction as prediction_lib
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.weighting import Weighting

Images = Float[Array, "batch height width channels"]
Predict = Callable[[Images, Float[Array, "batch"]], Images]


def gaussian(keys: Key[Array, "batch"], shape: tuple[int, ...]) -> Images:
    """Standard normal float32 noise, one draw of ``shape`` for each example's own key."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(keys)


def per_example(
    predict: Predict,
    x0: Images,
    eps: Images,
    t: Float[Array, "batch"],
    *,
    schedule: Schedule,
    prediction: str,
    weighting: Weighting,
) -> Float[Array, "batch"]:
    """Weighted mean squared error of each example, for a network that predicts ``prediction``.

    The error is taken between the prediction and its own target, which divides by nothing.

    Args:
      predict: (z, t) -> the network's output; sees at least float32 and may compute in less.
      x0: clean pictures in [-1, 1]. eps: standard normal noise. t: noise levels in [0, 1].
      prediction: a name in ``PREDICTIONS``.
    """
    level = schedule.alpha(t), schedule.sigma(t)
    alpha, sigma = (value[:, None, None, None] for value in level)
    output = predict(alpha * x0 + sigma * eps, t).astype(eps.dtype)
    error = output - prediction_lib.target(prediction, x0, eps, alpha, sigma, weighting.data_std)
    return weighting(prediction, *level) * jnp.mean(jnp.square(error), axis=(1, 2, 3))
