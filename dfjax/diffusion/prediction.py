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

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.diffusion.schedule import Schedule

Picture = Float[Array, "..."]
Level = Float[Array, "..."]

KINDS = ("x0", "eps", "v", "flow", "edm")

# Whether a prediction still gives the clean picture: (where sigma = 0, at t = 0; where alpha = 0).
DEFINED = {"x0": (True, True), "eps": (True, False), "v": (True, True), "flow": (True, True), "edm": (True, True)}


def admitted(kind: str, schedule: Schedule) -> bool:
    """Whether the prediction gives the clean picture at every t in [0, 1] of the schedule, both ends included.

    All schedules have sigma(0) = 0; ``schedule.ends_in_noise`` says which have alpha(1) = 0.
    """
    where_clean, where_noise = DEFINED[kind]
    return where_clean and (where_noise or not schedule.ends_in_noise)


def _pick(table: dict[str, Callable[[], Picture]], kind: str) -> Picture:
    if kind not in table:
        raise ValueError(f"prediction {kind!r} is not one of {', '.join(KINDS)}")
    return table[kind]()


def to_x0(kind: str, value: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """The clean picture that a prediction of ``kind`` stands for.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """

    def from_edm() -> Picture:
        norm = jnp.hypot(sigma, alpha * data_std)
        return (alpha * data_std**2 * z / norm + sigma * data_std * value) / norm

    def from_v() -> Picture:
        norm = jnp.hypot(alpha, sigma)
        return (alpha * z / norm - sigma * value) / norm

    table = {
        "x0": lambda: value,
        "eps": lambda: (z - sigma * value) / alpha,
        "v": from_v,
        "flow": lambda: (z - sigma * value) / (alpha + sigma),
        "edm": from_edm,
    }
    return _pick(table, kind)


def target(kind: str, x0: Picture, eps: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """The quantity of ``kind`` where the noise is known: defined at both ends.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """
    table = {
        "x0": lambda: x0,
        "eps": lambda: eps,
        "v": lambda: (alpha * eps - sigma * x0) / jnp.hypot(alpha, sigma),
        "flow": lambda: eps - x0,
        "edm": lambda: (sigma * x0 - alpha * data_std**2 * eps) / (data_std * jnp.hypot(sigma, alpha * data_std)),
    }
    return _pick(table, kind)


def from_x0(kind: str, x0: Picture, z: Picture, alpha: Level, sigma: Level, data_std: float = 0.5) -> Picture:
    """The quantity of ``kind`` that goes with the clean picture ``x0`` and the noised picture ``z``; needs sigma > 0.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """
    return target(kind, x0, (z - alpha * x0) / sigma, alpha, sigma, data_std)


def sensitivity(kind: str, alpha: Level, sigma: Level, data_std: float = 0.5) -> Level:
    """c >= 0 with |error of kind| = (c / sigma) |error of x0| at fixed z: finite at both ends.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """
    table = {
        "x0": lambda: sigma,
        "eps": lambda: alpha,
        "v": lambda: jnp.hypot(alpha, sigma),
        "flow": lambda: alpha + sigma,
        "edm": lambda: jnp.hypot(sigma, alpha * data_std) / data_std,
    }
    return _pick(table, kind)


def input_scale(kind: str, frame: str, alpha: Level, sigma: Level, data_std: float = 0.5) -> Level:
    """What the network's input is multiplied by: EDM's c_in for the ``edm`` prediction, 1 for the others.

    Under a variance-exploding schedule the others are scaled too, as if the data had unit variance: no network is at
    its best with inputs of size 80.
    """
    if kind == "edm":
        return 1.0 / jnp.hypot(sigma, alpha * data_std)
    if frame == "ve":
        return 1.0 / jnp.hypot(sigma, alpha)
    return jnp.ones_like(alpha)
