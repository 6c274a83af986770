"""Every sampler as a table of coefficients, one row a step, made on the host in float64.

With the denoised estimate x, all solvers here are linear in what they know. A step from level t down to s is DDIM's
own (arXiv 2010.02502, equation 12 with eta = 0),

    z_s = a z_t + b x,        a = sigma_s / sigma_t,        b = alpha_s - a alpha_t,

plus multiples of *differences* of estimates, and noise where a is smaller. So every step, of whatever order, is exact
for one single picture, and nothing is singular at the ends: where the solver's own variable is infinite (log-SNR at
t = 0, or where alpha = 0) the differences get weight 0 and the step is of first order.

Signal-to-noise enters as h, the step in lambda = log(alpha/sigma), half of log-SNR.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dfjax.diffusion.schedule import Schedule

Column = Float[np.ndarray, "steps"]


class Levels(NamedTuple):
    """A grid and its levels, float64 [steps + 1], from the most noise to the clean picture."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """sigma/alpha; infinite where alpha = 0."""
        with np.errstate(divide="ignore"):
            return self.sigma / self.alpha

    @property
    def log_ratio(self) -> np.ndarray:
        """-lambda = log(sigma/alpha); infinite at both ends."""
        with np.errstate(divide="ignore"):
            return np.log(self.ratio)


def levels(schedule: Schedule, times: np.ndarray) -> Levels:
    """Alpha and sigma at the times of a grid."""
    times = np.asarray(times, np.float64)
    return Levels(times, schedule.alpha(times), schedule.sigma(times))


class Multistep(NamedTuple):
    """One network call a step, and the estimates of steps before.

    z -> a z + b x + sum_j past_j (value_j - value_0) + noise n, where value_0 = of_z z + of_x x is the estimate in the
    solver's own terms (x itself where both are None) and value_1, ... are those of earlier steps, newest first. Before
    that, ``correct`` mends z itself with what x has just shown: z += sum_j correct_j (value_j - value_0).
    """

    t: Column
    a: Column
    b: Column
    past: Float[np.ndarray, "steps order_minus_1"]
    noise: Column | None = None
    correct: Float[np.ndarray, "steps order"] | None = None
    of_z: Column | None = None
    of_x: Column | None = None

    @property
    def memory(self) -> int:
        """How many earlier values a step looks at."""
        return max(self.past.shape[1], 0 if self.correct is None else self.correct.shape[1])


class TwoCalls(NamedTuple):
    """Two network calls a step: at t, and at a level on the way.

    z' = lift z + lift_noise n at level t; x = network(z', t); y = mid_a z' + mid_b x at level t_mid;
    z -> a z' + b x + change (network(y, t_mid) - x). Where ``change`` is 0 the second call is not made.
    """

    t: Column
    t_mid: Column
    mid_a: Column
    mid_b: Column
    a: Column
    b: Column
    change: Column
    lift: Column | None = None
    lift_noise: Column | None = None


Table = Multistep | TwoCalls


def start_and_end(grid: Levels) -> tuple[Levels, Levels]:
    """The levels at which steps start and end."""
    return Levels(*(v[:-1] for v in grid)), Levels(*(v[1:] for v in grid))


def first_order(start: Levels, end: Levels) -> tuple[Column, Column]:
    """a and b of the step between pairs of levels."""
    a = end.sigma / start.sigma
    return a, end.alpha - a * start.alpha


def decay(grid: Levels) -> Column:
    """e^-h = (sigma_s alpha_t) / (alpha_s sigma_t) of each step; 0 from pure noise and to the clean picture."""
    start, end = start_and_end(grid)
    return end.sigma * start.alpha / (end.alpha * start.sigma)
