"""Noise schedules in continuous time.

A noised picture is z_t = alpha(t) x + sigma(t) eps, with t = 0 clean and t = 1 pure noise. All schedules here end in
pure noise exactly: alpha(1) = 0 (zero terminal signal-to-noise ratio, arXiv 2305.08891).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Time = Float[Array, "..."]


class Schedule(NamedTuple):
    """alpha(t) and sigma(t) for t in [0, 1], elementwise, in t's dtype (float32 or float64)."""

    name: str
    alpha: Callable[[Time], Time]
    sigma: Callable[[Time], Time]

    def log_snr(self, t: Time) -> Time:
        """log(alpha^2 / sigma^2); +inf at t = 0 and -inf at t = 1."""
        return 2.0 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def slopes(self, t: Time) -> tuple[Time, Time]:
        """d alpha/dt and d sigma/dt."""
        one = jnp.ones_like(t)
        return jax.jvp(self.alpha, (t,), (one,))[1], jax.jvp(self.sigma, (t,), (one,))[1]


def flow() -> Schedule:
    """Rectified flow: alpha = 1 - t, sigma = t (arXiv 2209.03003)."""
    return Schedule("flow", lambda t: 1.0 - t, lambda t: t)


def cosine() -> Schedule:
    """Variance-preserving cosine: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (arXiv 2102.09672, no offset)."""
    # The sine of the complement, so that alpha(1) is 0 and not the rounding error of cos(pi / 2).
    return Schedule("cosine", lambda t: jnp.sin(jnp.pi / 2 * (1.0 - t)), lambda t: jnp.sin(jnp.pi / 2 * t))


def shifted(schedule: Schedule, shift: float) -> Schedule:
    """The schedule at the time where its noise-to-signal ratio sigma/alpha is ``shift`` times as large.

    For flow it is t' = s t / (1 + (s - 1) t) (SD3, arXiv 2403.03206, equation 23); for the cosine log-SNR falls by
    2 log s (Simple Diffusion, arXiv 2301.11093, equation 2). Both schedules keep their kind: only time is warped.
    """
    if shift == 1.0:
        return schedule
    if schedule.name == "flow":

        def warp(t: Time) -> Time:
            # Not over 1 + (s - 1) t: this form gives 1 at t = 1 for every shift, to the bit.
            return shift * t / (shift * t + (1.0 - t))

    else:

        def warp(t: Time) -> Time:
            return jnp.arctan2(shift * jnp.sin(jnp.pi / 2 * t), jnp.sin(jnp.pi / 2 * (1.0 - t))) * (2 / jnp.pi)

    return Schedule(schedule.name, lambda t: schedule.alpha(warp(t)), lambda t: schedule.sigma(warp(t)))


SCHEDULES: dict[str, Callable[[], Schedule]] = {"flow": flow, "cosine": cosine}


def make(name: str, shift: float = 1.0) -> Schedule:
    """The schedule of that name. Raises KeyError if there is none."""
    return shifted(SCHEDULES[name](), shift)
