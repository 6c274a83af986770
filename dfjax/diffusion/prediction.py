"""What a denoiser's output means, and how to turn one meaning into another.

With z = alpha x + sigma eps, four quantities are linear in each other once z is known:

======  ==========================  ====================================  =====================
name    definition                  the clean picture x from it           source
======  ==========================  ====================================  =====================
x0      x                           x0                                    arXiv 2006.11239
eps     eps                         (z - sigma eps) / alpha               arXiv 2006.11239
v       alpha eps - sigma x         (alpha z - sigma v) / (a^2 + s^2)     arXiv 2202.00512, app. D
flow    eps - x                     (z - sigma u) / (alpha + sigma)       arXiv 2209.03003
======  ==========================  ====================================  =====================

``eps`` cannot give x where alpha = 0, and x cannot give ``eps`` where sigma = 0: ``floor`` bounds the divisor there.
Time sets alpha and sigma as arrays that broadcast against the picture.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Picture = Float[Array, "..."]
Level = Float[Array, "..."]

KINDS = ("x0", "eps", "v", "flow")


def to_x0(kind: str, value: Picture, z: Picture, alpha: Level, sigma: Level, floor: float = 1e-6) -> Picture:
    """The clean picture that a prediction of ``kind`` stands for.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """
    if kind == "x0":
        return value
    if kind == "eps":
        return (z - sigma * value) / jnp.maximum(alpha, floor)
    if kind == "v":
        return (alpha * z - sigma * value) / (alpha**2 + sigma**2)
    if kind == "flow":
        return (z - sigma * value) / (alpha + sigma)
    raise ValueError(f"prediction {kind!r} is not one of {', '.join(KINDS)}")


def from_x0(kind: str, x0: Picture, z: Picture, alpha: Level, sigma: Level, floor: float = 1e-6) -> Picture:
    """The quantity of ``kind`` that goes with the clean picture ``x0`` and the noised picture ``z``.

    Raises:
      ValueError: ``kind`` is not one of KINDS.
    """
    if kind == "x0":
        return x0
    eps = (z - alpha * x0) / jnp.maximum(sigma, floor)
    if kind == "eps":
        return eps
    if kind == "v":
        return alpha * eps - sigma * x0
    if kind == "flow":
        return eps - x0
    raise ValueError(f"prediction {kind!r} is not one of {', '.join(KINDS)}")


def target(kind: str, x0: Picture, eps: Picture, alpha: Level, sigma: Level) -> Picture:
    """The quantity of ``kind`` itself, where the noise is known: no division, exact at both ends."""
    values = {"x0": lambda: x0, "eps": lambda: eps, "v": lambda: alpha * eps - sigma * x0, "flow": lambda: eps - x0}
    return values[kind]()


def error_scale(kind: str, alpha: Level, sigma: Level, floor: float) -> Level:
    """c >= 0 with error(kind) = c * |error(x0)| at fixed z: what turns an x0 error into one of ``kind``.

    From the table: eps: alpha/sigma, v: (alpha^2 + sigma^2)/sigma, flow: (alpha + sigma)/sigma, each divisor at least
    ``floor`` ("Back to Basics", arXiv 2511.13720, clips 1 - t at 0.05 in the same place).
    """
    sigma_floor = jnp.maximum(sigma, floor)
    scales = {
        "x0": lambda: jnp.ones_like(alpha),
        "eps": lambda: alpha / sigma_floor,
        "v": lambda: (alpha**2 + sigma**2) / sigma_floor,
        "flow": lambda: (alpha + sigma) / sigma_floor,
    }
    return scales[kind]()
