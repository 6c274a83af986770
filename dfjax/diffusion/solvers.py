"""Solvers that look at one step only, with one network call or two; each makes a table of ``tables``."""

import numpy as np

from dfjax.diffusion import tables
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.tables import Levels, Multistep, TwoCalls, first_order, levels, start_and_end


def ddim(grid: Levels, eta: float = 0.0) -> Multistep:
    """DDIM (arXiv 2010.02502, equations 12 and 16). eta = 1 is DDPM's ancestral step with the posterior's variance.

    Sigma of equation 16 is sigma_s sqrt(1 - e^-2h); what noise takes is left out of the estimate's share.
    """
    start, end = start_and_end(grid)
    noise = eta * end.sigma * np.sqrt(1.0 - tables.decay(grid) ** 2)
    a = np.sqrt(end.sigma**2 - noise**2) / start.sigma
    past = np.zeros((len(a), 0))
    return Multistep(start.t, a, end.alpha - a * start.alpha, past, noise if eta else None)


def heun(grid: Levels, schedule: Schedule, churn: float = 0.0) -> TwoCalls:
    """EDM's stochastic sampler: Heun's method in sigma/alpha (arXiv 2206.00364, algorithm 2, S_noise = 1).

    ``churn`` is S_churn: before each step the noise level is raised by a share churn / steps of itself, at most
    sqrt(2) - 1, and never above the schedule's own; 0 is algorithm 1. The last step, and one from pure noise (an
    infinite level), is Euler's.
    """
    start, end = start_and_end(grid)
    ratio, lifted = grid.ratio, start
    share = min(churn / len(start.t), 2**0.5 - 1)
    if churn:
        raised = np.minimum(ratio[:-1] * (1 + share), float(schedule.ratio(np.ones(()))))
        times = np.where(np.isfinite(ratio[:-1]), schedule.time(raised), start.t)
        lifted = levels(schedule, times)
    a, b = first_order(lifted, end)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = end.alpha * 0.5 * (lifted.ratio / end.ratio - 1.0)
        table = TwoCalls(lifted.t, end.t, a, b, a, b, np.where(np.isfinite(change), change, 0.0))
        if not churn:
            return table
        lift = np.where(start.alpha > 0, lifted.alpha / start.alpha, 1.0)
    noise = np.sqrt(np.maximum(lifted.sigma**2 - (lift * start.sigma) ** 2, 0.0))
    return table._replace(lift=lift, lift_noise=noise)


def flow_heun(grid: Levels) -> TwoCalls:
    """Heun's method for flow matching: in sigma/(alpha + sigma), on z/(alpha + sigma), for any schedule.

    That time is 1 - alpha = sigma under the flow schedule itself; unlike sigma/alpha it is finite from pure noise on.
    The last step is Euler's.
    """
    start, end = start_and_end(grid)
    a, b = first_order(start, end)
    time = grid.sigma / (grid.alpha + grid.sigma)
    change = np.zeros(len(a))
    change[:-1] = (end.alpha + end.sigma)[:-1] * 0.5 * (time[:-2] / time[1:-1] - 1.0)
    if end.sigma[-1] > 0:
        change[-1] = (end.alpha + end.sigma)[-1] * 0.5 * (time[-2] / time[-1] - 1.0)
    return TwoCalls(start.t, end.t, a, b, a, b, change)


def dpmpp_2s(grid: Levels, schedule: Schedule) -> TwoCalls:
    """DPM-Solver++(2S): the estimate in the middle of the step in lambda serves for all of it (2211.01095, alg. 1).

    Steps to the clean picture and from pure noise, infinite in lambda, are DDIM's.
    """
    start, end = start_and_end(grid)
    c = grid.log_ratio
    finite = np.isfinite(c[:-1]) & np.isfinite(c[1:])
    with np.errstate(invalid="ignore"):
        middle = np.where(finite, np.exp((c[:-1] + c[1:]) / 2), 0.0)
    between = levels(schedule, np.where(finite, schedule.time(middle), end.t))
    a, b = first_order(start, end)
    return TwoCalls(start.t, between.t, *first_order(start, between), a, b, np.where(finite, b, 0.0))
