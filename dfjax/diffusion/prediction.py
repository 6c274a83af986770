"""What a denoiser's output means, and how to turn one meaning into another.

With z = alpha x + sigma eps, these quantities are linear in each other once z is known (d is the data's standard
deviation, n = sqrt(sigma^2 + alpha^2 d^2), and m = sqrt(sigma^2 + alpha^2), which is 1 where variance is preserved):

======  ======================================  ======================================  =========================
name    definition                              the clean picture x from it             source
======  ======================================  ======================================  =========================
x0      x                                       x0                                      arXiv 2006.11239
eps     eps                                     (z - sigma eps) / alpha                 arXiv 2006.11239
v       (alpha eps - sigma x) / m               (alpha z / m - sigma v) / m             arXiv 2202.00512, app. D
flow    eps - x                                 (z - sigma u) / (alpha + sigma)         arXiv 2209.03003
edm     (sigma x - alpha d^2 eps) / (d n)       (alpha d^2 z + sigma d n F) / n^2       arXiv 2206.00364, eq. 7
======  ======================================  ======================================  =========================

``edm`` is EDM's preconditioned output F, D(z) = c_skip z + c_out F, written for any alpha; its target has unit
variance. Alpha and sigma are arrays that broadcast against the picture.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.core.registry import PREDICTIONS
from dfjax.diffusion.schedule import Schedule

Picture = Float[Array, "..."]
Level = Float[Array, "..."]


class Prediction(NamedTuple):
    """What a network's output means; register one in ``PREDICTIONS`` to train and sample with it.

    Attributes:
      target: (x0, eps, alpha, sigma, data_std) -> what the network is to give, defined at both ends.
      to_x0: (value, z, alpha, sigma, data_std) -> the clean picture that it stands for.
      sensitivity: (alpha, sigma, data_std) -> c >= 0 with |error of it| = (c / sigma) |error of x0| at fixed z.
      defined_in_noise: whether ``to_x0`` gives the clean picture where alpha = 0. Where sigma = 0 it must.
    """

    target: Callable[..., Picture]
    to_x0: Callable[..., Picture]
    sensitivity: Callable[..., Level]
    defined_in_noise: bool = True


def _v_to_x0(value: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float) -> Picture:
    norm = jnp.hypot(alpha, sigma)
    return (alpha * z / norm - sigma * value) / norm


def _edm_to_x0(value: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float) -> Picture:
    norm = jnp.hypot(sigma, alpha * data_std)
    return (alpha * data_std**2 * z / norm + sigma * data_std * value) / norm


def _edm_target(x0: Picture, eps: Picture, alpha: Level, sigma: Level, data_std: float) -> Picture:
    return (sigma * x0 - alpha * data_std**2 * eps) / (data_std * jnp.hypot(sigma, alpha * data_std))


PREDICTIONS.own(
    "x0",
    Prediction(
        target=lambda x0, eps, alpha, sigma, data_std: x0,
        to_x0=lambda value, z, alpha, sigma, data_std: value,
        sensitivity=lambda alpha, sigma, data_std: sigma,
    ),
)
PREDICTIONS.own(
    "eps",
    Prediction(
        target=lambda x0, eps, alpha, sigma, data_std: eps,
        to_x0=lambda value, z, alpha, sigma, data_std: (z - sigma * value) / alpha,
        sensitivity=lambda alpha, sigma, data_std: alpha,
        defined_in_noise=False,
    ),
)
PREDICTIONS.own(
    "v",
    Prediction(
        target=lambda x0, eps, alpha, sigma, data_std: (alpha * eps - sigma * x0) / jnp.hypot(alpha, sigma),
        to_x0=_v_to_x0,
        sensitivity=lambda alpha, sigma, data_std: jnp.hypot(alpha, sigma),
    ),
)
PREDICTIONS.own(
    "flow",
    Prediction(
        target=lambda x0, eps, alpha, sigma, data_std: eps - x0,
        to_x0=lambda value, z, alpha, sigma, data_std: (z - sigma * value) / (alpha + sigma),
        sensitivity=lambda alpha, sigma, data_std: alpha + sigma,
    ),
)
PREDICTIONS.own(
    "edm",
    Prediction(
        target=_edm_target,
        to_x0=_edm_to_x0,
        sensitivity=lambda alpha, sigma, data_std: jnp.hypot(sigma, alpha * data_std) / data_std,
    ),
)


def admitted(prediction: str, schedule: Schedule) -> bool:
    """Whether the prediction gives the clean picture at every t in [0, 1] of the schedule, both ends included.

    All schedules have sigma(0) = 0; ``schedule.ends_in_noise`` says which have alpha(1) = 0.
    """
    return PREDICTIONS[prediction].defined_in_noise or not schedule.ends_in_noise


def to_x0(prediction: str, value: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """The clean picture that a value of the prediction stands for. Raises RegistryError for an unknown one."""
    return PREDICTIONS[prediction].to_x0(value, z, alpha, sigma, data_std)


def target(prediction: str, x0: Picture, eps: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """What the network is to give where the noise is known: defined at both ends. Raises as :func:`to_x0`."""
    return PREDICTIONS[prediction].target(x0, eps, alpha, sigma, data_std)


def from_x0(prediction: str, x0: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """What goes with the clean picture ``x0`` and the noised ``z``; needs sigma > 0. Raises as :func:`to_x0`."""
    return target(prediction, x0, (z - alpha * x0) / sigma, alpha, sigma, data_std)


def sensitivity(prediction: str, alpha: Level, sigma: Level, data_std: float = 0.5) -> Level:
    """c >= 0 with |error of the prediction| = (c / sigma) |error of x0| at fixed z: finite at both ends.

    Raises as :func:`to_x0`.
    """
    return PREDICTIONS[prediction].sensitivity(alpha, sigma, data_std)


def input_scale(prediction: str, frame: str, alpha: Level, sigma: Level, data_std: float = 0.5) -> Level:
    """What the network's input is multiplied by: EDM's c_in for the ``edm`` prediction, 1 for the others.

    Under a variance-exploding schedule the others are scaled too, as if the data had unit variance: no network is at
    its best with inputs of size 80.
    """
    if prediction == "edm":
        return 1.0 / jnp.hypot(sigma, alpha * data_std)
    if frame == "ve":
        return 1.0 / jnp.hypot(sigma, alpha)
    return jnp.ones_like(alpha)
