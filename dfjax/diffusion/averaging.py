"""Averages of the weights over training."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def ema_decay(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """The decay after ``step`` (from 0) updates, warmed up as min(decay, (1 + n) / (10 + n)).

    The warm-up is that of TensorFlow's ``ExponentialMovingAverage``: early on, random initial weights leave fast.
    """
    n = step.astype(jnp.float32)
    return jnp.minimum(decay, (1.0 + n) / (10.0 + n))


def ema_update(average: Any, params: Any, step: Int[Array, ""], decay: float) -> Any:
    """average + (1 - d) (params - average), leaf by leaf, in the leaves' type (float32). Once per optimizer step."""
    d = ema_decay(step, decay)
    return jax.tree.map(lambda a, p: a + (1.0 - d) * (p - a), average, params)
