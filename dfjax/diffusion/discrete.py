"""Discrete timesteps as a view of continuous time: level i of N, from 0, is t = (i + 1) / N, and t = 0 is clean.

With these a network that was trained at N levels (DDPM, Stable Diffusion) is driven by the same solvers, and told its
own level: ``level(t, N)``.
"""

import numpy as np
from jaxtyping import Float

from dfjax.diffusion import schedule as schedule_lib
from dfjax.diffusion.schedule import Schedule, Time, namespace


class TooFewSteps(ValueError):
    """So few discrete steps that a single one would add nearly all of the noise."""


def betas(name: str, steps: int) -> Float[np.ndarray, "steps"]:
    """DDPM's betas for ``linear`` (arXiv 2006.11239, section 4) and Stable Diffusion's for ``scaled_linear``.

    At 1,000 steps they are the published ones; at others their sum is kept.

    Raises:
      KeyError: the schedule is not made of betas. TooFewSteps: with so few a beta would be above 1/2.
    """
    first, last, power = {"linear": (1e-4, 0.02, 1), "scaled_linear": (0.00085, 0.012, 2)}[name]
    fewest = int(np.ceil(2000 * last))
    if steps < fewest:
        raise TooFewSteps(f"{steps} discrete steps are too few for the {name} schedule, which takes at least {fewest}")
    return np.linspace(first ** (1 / power), last ** (1 / power), steps) ** power * (1000 / steps)


def from_betas(name: str, values: Float[np.ndarray, "steps"], zero_terminal: bool = False) -> Schedule:
    """The schedule through alpha^2 = prod(1 - beta) at t = 1/N, ..., 1, linear in alpha^2 between and from 1 at t = 0.

    Args:
      values: each in (0, 1). zero_terminal: rescale the table as arXiv 2305.08891, algorithm 1: alpha(1) becomes 0
        and alpha(1/N) stays.
    """
    alpha = np.sqrt(np.cumprod(1.0 - values))
    if zero_terminal:
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    times = np.arange(len(values) + 1) / len(values)
    kept = np.concatenate([[1.0], alpha**2])
    # Both are interpolated, since 1 - kept has few digits of a small sigma in float32.
    lost = 1.0 - kept

    def through(table: np.ndarray) -> schedule_lib.Elementwise:
        def value(t: Time) -> Time:
            xp = namespace(t)
            # NumPy's interp gives float64 whatever it gets.
            return xp.sqrt(xp.interp(t, xp.asarray(times, t.dtype), xp.asarray(table, t.dtype))).astype(t.dtype)

        return value

    def invert(ratio: Time) -> Time:
        xp = namespace(ratio)
        length = xp.hypot(xp.ones_like(ratio), ratio)

        def at(share: Time, table: np.ndarray, times: np.ndarray) -> Time:
            return xp.interp(share, xp.asarray(table, share.dtype), xp.asarray(times, share.dtype)).astype(share.dtype)

        # By whichever is the smaller: one minus it has few of its digits.
        return xp.where(
            ratio < 1.0, at((ratio / length) ** 2, lost, times), at((1.0 / length) ** 2, kept[::-1], times[::-1])
        )

    return Schedule(name, "vp", through(kept), through(lost), invert)


def snap(t: Time, steps: int) -> Time:
    """t moved up to the nearest of the N levels."""
    xp = namespace(t)
    return xp.clip(xp.ceil(t * steps - 1e-4), 1, steps) / steps


def level(t: Time, steps: int) -> Time:
    """The level i of t = (i + 1) / N, from 0; a fraction between two levels, as t is."""
    return t * steps - 1.0


def make(name: str, *, shift: float = 1.0, zero_terminal: bool = False, steps: int = 0) -> Schedule:
    """The schedule of that name: continuous, or with ``steps`` > 0 the one through DDPM's table of so many levels.

    Raises:
      KeyError: there is none of that name. TooFewSteps: too few for its betas. ValueError: it cannot be rescaled to
        zero terminal SNR.
    """
    if steps and name in ("linear", "scaled_linear"):
        made = from_betas(name, betas(name, steps), zero_terminal)
    else:
        made = schedule_lib.SCHEDULES[name]()
        made = schedule_lib.zero_terminal(made) if zero_terminal else made
    return schedule_lib.shifted(made, shift)
