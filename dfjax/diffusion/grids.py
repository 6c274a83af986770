"""Where a sampler's steps lie: times from 1 (noise) down to 0 (picture), for ``steps`` of them.

All but the last are times at which the network is called. Grids are made on the host, in float64.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dfjax.core.registry import GRIDS
from dfjax.diffusion import discrete
from dfjax.diffusion.schedule import Schedule

Times = Float[np.ndarray, "steps_plus_1"]


class Ends(NamedTuple):
    """Levels sigma/alpha of the last and first network call, where a grid needs them, and Karras' rho."""

    grid_min: float = 0.02
    grid_max: float = 80.0
    grid_rho: float = 7.0


ENDS = Ends()


@GRIDS.own("uniform")
def uniform(schedule: Schedule, steps: int, ends: Ends) -> Times:
    """Even in t from 1 to the time of the smallest level, then to 0 ("linspace" in arXiv 2305.08891, table 2)."""
    return np.append(np.linspace(1.0, schedule.time(np.asarray(ends.grid_min)), steps), 0.0)


@GRIDS.own("trailing")
def trailing(schedule: Schedule, steps: int, ends: Ends) -> Times:
    """Even in t from 1 to 0 (arXiv 2305.08891, table 2; under the edm schedule EDM's steps with sigma_min = 0)."""
    return np.linspace(1.0, 0.0, steps + 1)


def _at_ratios(schedule: Schedule, even: Callable[[float, float], np.ndarray], ends: Ends) -> Times:
    """Times at the ratios sigma/alpha that ``even(largest, smallest)`` spreads; the first is t = 1 in any case."""
    largest = min(ends.grid_max, float(schedule.ratio(np.ones(()))))
    times = schedule.time(even(largest, min(ends.grid_min, largest / 2)))
    return np.concatenate([[1.0], times[1:], [0.0]])


@GRIDS.own("log_snr")
def log_snr(schedule: Schedule, steps: int, ends: Ends) -> Times:
    """Even in log-SNR between the two ends, then to 0 (DPM-Solver, arXiv 2206.00927, section 3.4)."""
    return _at_ratios(schedule, lambda large, small: np.geomspace(large, small, steps), ends)


@GRIDS.own("karras")
def karras(schedule: Schedule, steps: int, ends: Ends) -> Times:
    """Even in (sigma/alpha)^(1/rho) between the two ends, then to 0 (EDM, arXiv 2206.00364, equation 5)."""

    def even(large: float, small: float) -> np.ndarray:
        return np.linspace(large ** (1 / ends.grid_rho), small ** (1 / ends.grid_rho), steps) ** ends.grid_rho

    return _at_ratios(schedule, even, ends)


@GRIDS.own("angle")
def angle(schedule: Schedule, steps: int, ends: Ends) -> Times:
    """Even in arctan((r / 0.35)^(2 / 3)), r = sigma/alpha, from t = 1 to 0; it needs no ends.

    The angle between noise and data is finite at both ends; the power moves some steps from the middle to the ends.
    Both numbers are for data of standard deviation 0.5, chosen on mixtures of Gaussians other than those on which
    benchmarks/bench_samplers.py measures.
    """
    middle, power = 0.35, 1.5
    first = np.arctan((schedule.ratio(np.ones(())) / middle) ** (1 / power))
    ratios = middle * np.tan(first * np.linspace(1.0, 0.0, steps + 1)[1:-1]) ** power
    return np.concatenate([[1.0], schedule.time(ratios), [0.0]])


def make(name: str, schedule: Schedule, steps: int, ends: Ends = ENDS, discrete_steps: int = 0) -> Times:
    """The times [steps + 1] of a grid, strictly falling from 1 to 0.

    Args:
      discrete_steps: the schedule has so many levels: ``grid_min`` is at least the first, and grids that
        are even in t are moved up to the nearest. Others call the network between levels too, as is the custom, and
        ``angle``, which has no ends, also below the first. 0: continuous.

    Raises:
      RegistryError: there is no grid of that name. ValueError: two steps would fall on one level, or the ends are none.
    """
    if discrete_steps:
        lowest = float(schedule.ratio(np.asarray(1.0 / discrete_steps)))
        ends = ends._replace(grid_min=max(ends.grid_min, lowest))
    times = GRIDS[name](schedule, steps, ends)
    if discrete_steps and name in ("uniform", "trailing"):
        times = np.append(discrete.snap(times[:-1], discrete_steps), 0.0)
    # Written so that NaN is refused too.
    if not np.all(np.diff(times) < 0):
        among = f"the {discrete_steps} levels of the schedule" if discrete_steps else "float64 times"
        raise ValueError(f"{steps} steps of the {name} grid are not all different among {among}: take fewer")
    return times


def last_share(times: Times, strength: float) -> Times:
    """The end of a grid for editing at ``strength``: that share of its steps, rounded up; 1 is all, 0 only t = 0.

    As SDEdit (arXiv 2108.01073), with the strength counted in steps, as is the custom.
    """
    steps = len(times) - 1
    # Without the slack 0.3 of 10 steps would be 4.
    return times[steps - max(int(np.ceil(strength * steps - 1e-9)), int(strength > 0)) :]
