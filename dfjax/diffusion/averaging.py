"""Averages of the weights over training, kept up while it runs: the classical one, and those of EDM2.

The power-function average of EDM2 (arXiv 2312.02696, section 3.1) weighs the parameters of time tau of a run of
length t by the profile (gamma + 1) tau^gamma / t^(gamma + 1). It forgets the start by itself and needs no warm-up. Its
length is given as the profile's standard deviation over t ("std", sigma_rel in the paper), from which gamma follows.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

MAX_STD = 12**-0.5


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


def power_std(gamma: float) -> float:
    """The length of the power-function average with exponent ``gamma``, as a share of the run (appendix C)."""
    return ((gamma + 1.0) / ((gamma + 2.0) ** 2 * (gamma + 3.0))) ** 0.5


def power_gamma(std: float) -> float:
    """The exponent of the power-function average of length ``std``: the inverse of :func:`power_std`, in float64.

    Raises:
      ValueError: ``std`` is not in (0, 1/sqrt(12)]. The upper end is the plain mean of the whole run, gamma = 0.
    """
    if not 0.0 < std <= MAX_STD:
        raise ValueError(f"the length of a power-function average must be above 0 and at most {MAX_STD:.4f}, not {std}")
    # (gamma + 2)^2 (gamma + 3) = (gamma + 1) / std^2; of its three roots, all real, only the largest is not negative.
    roots = np.roots([1.0, 7.0, 16.0 - std**-2, 12.0 - std**-2])
    return max(float(np.max(roots.real)), 0.0)


def power_share(step: Int[Array, ""], gamma: float) -> Float[Array, ""]:
    """The newest parameters' share 1 - (1 - 1/n)^(gamma + 1) in the average after n = ``step`` >= 1 updates.

    It is 1 for the first update, which replaces what was there. After n updates the parameters of step k have the
    weight (k^(gamma + 1) - (k - 1)^(gamma + 1)) / n^(gamma + 1): the profile's integral over (k - 1, k], exactly.
    """
    n = step.astype(jnp.float32)
    # Late in a run the share is near float32's resolution of 1, so it is not made by subtraction from 1.
    return -jnp.expm1((gamma + 1.0) * jnp.log1p(-1.0 / n))


def power_update(average: Any, params: Any, step: Int[Array, ""], std: float) -> Any:
    """The power-function average of length ``std`` after the optimizer's ``step`` (from 1) gave ``params``.

    Leaf by leaf, in the leaves' type (float32).
    """
    share = power_share(step, power_gamma(std))
    return jax.tree.map(lambda a, p: a + share * (p - a), average, params)
