"""Noise schedules in continuous time.

A noised picture is z_t = alpha(t) x + sigma(t) eps, with t = 0 clean (alpha = 1, sigma = 0, exactly) and t = 1 the most
noise: none of the picture is left (alpha(1) = 0, "zero terminal SNR") under ``flow`` and ``cosine``, a little under
the others.

What a schedule says is the ratio sigma/alpha as a function of t; its frame says at which scale the pair is written:
``vp`` (variance-preserving, alpha^2 + sigma^2 = 1), ``flow`` (alpha + sigma = 1) or ``ve`` (variance-exploding,
alpha = 1). The ratio is kept as two numbers, since it is infinite where alpha = 0.

Functions are elementwise and keep the type of t: float64 NumPy arrays for grids and solver tables, JAX arrays in a
step.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from dfjax.core.registry import SCHEDULES

# Float[Array, "..."] or Float[np.ndarray, "..."], the same in and out, which a type checker cannot follow.
Time = Any
Elementwise = Callable[[Time], Time]

# A ratio sigma/alpha that is as good as infinite, and whose square is still a float32.
_LARGE = 1e15


def namespace(value: Any) -> Any:
    """NumPy for its own arrays and numbers, JAX for all else."""
    return np if isinstance(value, np.ndarray | np.generic) else jnp


@dataclasses.dataclass(frozen=True)
class Schedule:
    """alpha(t) and sigma(t) for t in [0, 1].

    ``signal(t)`` and ``noise(t)`` are alpha and sigma up to a common factor; ``invert(ratio)`` gives the t at which
    noise/signal = ratio, for any finite ratio >= 0. ``shift`` multiplies the noise.
    """

    name: str
    frame: str
    signal: Elementwise
    noise: Elementwise
    invert: Elementwise
    shift: float = 1.0

    def _scaled(self, t: Time) -> tuple[Time, Time]:
        signal, noise = self.signal(t), self.shift * self.noise(t)
        norms = {"vp": lambda: namespace(t).hypot(signal, noise), "flow": lambda: signal + noise, "ve": lambda: signal}
        norm = norms[self.frame]()
        return signal / norm, noise / norm

    def alpha(self, t: Time) -> Time:
        return self._scaled(t)[0]

    def sigma(self, t: Time) -> Time:
        return self._scaled(t)[1]

    def log_snr(self, t: Time) -> Time:
        """log(alpha^2 / sigma^2); +inf at t = 0, and -inf where alpha = 0."""
        xp = namespace(t)
        with np.errstate(divide="ignore"):
            return 2.0 * (xp.log(self.signal(t)) - xp.log(self.shift * self.noise(t)))

    def ratio(self, t: Time) -> Time:
        """sigma/alpha, the noise level of EDM (arXiv 2206.00364, table 1); infinite where alpha = 0."""
        with np.errstate(divide="ignore"):
            return self.shift * self.noise(t) / self.signal(t)

    def time(self, ratio: Time) -> Time:
        """The t at which sigma/alpha = ratio >= 0; 1 for all ratios above that of t = 1."""
        xp = namespace(ratio)
        last = self.ratio(np.ones(()))
        t = self.invert(xp.minimum(ratio, _LARGE) / self.shift)
        return xp.where(ratio >= last, xp.ones_like(t), xp.clip(t, 0.0, 1.0))

    @property
    def ends_in_noise(self) -> bool:
        """Whether alpha(1) = 0: zero terminal signal-to-noise ratio."""
        return bool(self.signal(np.ones(())) == 0.0)


@SCHEDULES.own("flow")
def flow() -> Schedule:
    """Rectified flow: alpha = 1 - t, sigma = t (arXiv 2209.03003)."""
    return Schedule("flow", "flow", lambda t: 1.0 - t, lambda t: 1.0 * t, lambda ratio: ratio / (1.0 + ratio))


@SCHEDULES.own("cosine")
def cosine() -> Schedule:
    """Variance-preserving cosine: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (arXiv 2102.09672, no offset)."""

    def sine(t: Time) -> Time:
        return namespace(t).sin(np.pi / 2 * t)

    def invert(ratio: Time) -> Time:
        # By the smaller of the two sines: XLA rounds an arctangent by the array's size, and t must not depend on that.
        xp = namespace(ratio)
        length = xp.hypot(xp.ones_like(ratio), ratio)
        angle = xp.where(ratio < 1.0, xp.arcsin(ratio / length), np.pi / 2 - xp.arcsin(1.0 / length))
        return 2 / np.pi * angle

    # The sine of the complement, so that alpha(1) is 0 and not the rounding error of cos(pi / 2).
    return Schedule("cosine", "vp", lambda t: sine(1.0 - t), sine, invert)


def _from_rate(name: str, integral: Elementwise, invert_integral: Elementwise) -> Schedule:
    """Variance-preserving with alpha^2 = exp(-B(t)), B the integral of the rate beta from 0 to t.

    The continuous form of DDPM's product of 1 - beta (arXiv 2011.13456, equation 33).
    """

    def signal(t: Time) -> Time:
        return namespace(t).exp(-0.5 * integral(t))

    def noise(t: Time) -> Time:
        xp = namespace(t)
        return xp.sqrt(-xp.expm1(-integral(t)))

    return Schedule(name, "vp", signal, noise, lambda ratio: invert_integral(namespace(ratio).log1p(ratio**2)))


@SCHEDULES.own("linear")
def linear(first: float = 0.1, last: float = 20.0) -> Schedule:
    """DDPM's schedule: the rate beta(t) goes evenly from ``first`` to ``last`` (arXiv 2006.11239; 2011.13456, eq. 33).

    The rates are per unit of t: 1,000 times DDPM's betas, 1e-4 and 0.02.
    """
    slope = last - first

    def invert(b: Time) -> Time:
        return 2.0 * b / (first + namespace(b).sqrt(first**2 + 2.0 * slope * b))

    return _from_rate("linear", lambda t: t * (first + 0.5 * slope * t), invert)


@SCHEDULES.own("scaled_linear")
def scaled_linear(first: float = 0.85, last: float = 12.0) -> Schedule:
    """Stable Diffusion's schedule: the square root of the rate beta(t) goes evenly (arXiv 2112.10752, its code).

    The rates are per unit of t: 1,000 times 0.00085 and 0.012.
    """
    root = first**0.5
    slope = last**0.5 - root

    def integral(t: Time) -> Time:
        return t * (root**2 + t * (root * slope + t * slope**2 / 3.0))

    def invert(b: Time) -> Time:
        t = (namespace(b).cbrt(root**3 + 3.0 * slope * b) - root) / slope
        # One step of Newton's: the difference of the line above keeps few digits of a small t.
        return t - (integral(t) - b) / (root + slope * t) ** 2

    return _from_rate("scaled_linear", integral, invert)


@SCHEDULES.own("edm")
def edm(largest: float = 80.0, rho: float = 7.0) -> Schedule:
    """EDM: alpha = 1, sigma = largest * t^rho (arXiv 2206.00364, equation 5 with sigma_min = 0).

    Even steps in t are then EDM's own steps in sigma.
    """

    def signal(t: Time) -> Time:
        return namespace(t).ones_like(t)

    return Schedule("edm", "ve", signal, lambda t: largest * t**rho, lambda ratio: (ratio / largest) ** (1.0 / rho))


def zero_terminal(schedule: Schedule) -> Schedule:
    """The schedule with alpha lowered evenly so that alpha(1) = 0 (arXiv 2305.08891, algorithm 1).

    alpha' = (alpha - alpha(1)) / (1 - alpha(1)); and sigma'^2 = 1 - alpha'^2, written without that difference, which
    keeps no digits of a small sigma.

    Raises:
      ValueError: the schedule is not variance-preserving, or ends in pure noise as it is.
    """
    if schedule.frame != "vp" or schedule.ends_in_noise:
        raise ValueError(
            f"zero_terminal rescales linear or scaled_linear, not {schedule.name}, "
            + ("which ends in pure noise as it is" if schedule.ends_in_noise else "whose alpha does not fall")
        )
    end = float(schedule.alpha(np.ones(())))

    def signal(t: Time) -> Time:
        # Zero at t = 1 to the bit, in whatever type the difference is taken.
        return namespace(t).where(t >= 1.0, 0.0, (schedule.alpha(t) - end) / (1.0 - end))

    def noise(t: Time) -> Time:
        root = (1.0 + signal(t)) / ((1.0 + schedule.alpha(t)) * (1.0 - end))
        return schedule.sigma(t) * namespace(t).sqrt(root)

    def invert(ratio: Time) -> Time:
        xp = namespace(ratio)
        length = xp.hypot(xp.ones_like(ratio), ratio)
        # 1 - alpha, of the rescaled schedule and then of the plain one.
        missing = (ratio / length) * (ratio / (1.0 + length)) * (1.0 - end)
        return schedule.time(xp.sqrt(missing * (2.0 - missing)) / (1.0 - missing))

    return dataclasses.replace(schedule, signal=signal, noise=noise, invert=invert)


def shifted(schedule: Schedule, shift: float) -> Schedule:
    """The schedule with its noise-to-signal ratio sigma/alpha ``shift`` times as large at each t, in the same frame.

    For flow it is t' = s t / (1 + (s - 1) t) (SD3, arXiv 2403.03206, equation 23); for the others log-SNR falls by
    2 log s (Simple Diffusion, arXiv 2301.11093, equation 2).
    """
    return dataclasses.replace(schedule, shift=schedule.shift * shift)
