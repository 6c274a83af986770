"""diffusers' schedulers and their step grids, as bench_samplers.py compares them: all that are deterministic.

Each is driven as its pipeline drives it, but told the estimate at the exact noise level of its state (its ``sigmas``),
where a pipeline would round the level to a timestep.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch

Estimate = Callable[[np.ndarray, float, float], tuple[np.ndarray, np.ndarray]]

STABLE = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SPACINGS = [{"timestep_spacing": name} for name in ("linspace", "trailing", "leading")]
SPREADS = [{f"use_{name}_sigmas": True} for name in ("karras", "exponential", "beta")]
ENDS = [{"final_sigmas_type": name} for name in ("zero", "sigma_min")]


class Choice(NamedTuple):
    """One scheduler and its settings; ``step`` are those of its ``step`` method."""

    name: str
    settings: dict[str, Any]
    step: dict[str, Any]

    def label(self) -> str:
        shown = {**self.settings, **self.step}
        return f"{self.name} " + " ".join(f"{key}={value}" for key, value in shown.items() if key not in STABLE)


def _over(name: str, *choices: list[dict], step: dict | None = None) -> Iterator[Choice]:
    """A scheduler with every combination of the choices."""
    for chosen in itertools.product(*choices):
        yield Choice(name, {key: value for part in chosen for key, value in part.items()}, step or {})


def _options(name: str, *values) -> list[dict]:
    return [{name: value} for value in values]


def _multistep(grids: list[dict], ends: list[dict]) -> Iterator[Choice]:
    """DPM-Solver++ and UniPC, of all orders and kinds."""
    lower, orders = _options("lower_order_final", True, False), _options("solver_order", 1, 2, 3)
    kinds, euler = _options("solver_type", "midpoint", "heun"), _options("euler_at_final", False, True)
    # Its first order is DDIM.
    yield from _over("DPMSolverMultistepScheduler", grids, ends, orders[1:], kinds, lower, euler)
    spaced = [grid for grid in grids if "timestep_spacing" not in grid]
    yield from _over("DPMSolverSinglestepScheduler", spaced, ends, orders[1:], kinds, lower)
    yield from _over("UniPCMultistepScheduler", grids, ends, orders, _options("solver_type", "bh1", "bh2"), lower)


def stable_diffusion() -> Iterator[Choice]:
    """Over the 1,000 levels of Stable Diffusion."""
    base = [STABLE]
    grids = [{**STABLE, **grid} for grid in SPACINGS + SPREADS]
    two, kinds = _options("solver_order", 2, 3), _options("solver_type", "midpoint", "heun")
    yield from _over("DDIMScheduler", base, SPACINGS, _options("clip_sample", False))
    to_clean = _options("set_alpha_to_one", True)
    yield from _over("PNDMScheduler", base, SPACINGS, to_clean, _options("skip_prk_steps", True, False))
    yield from _over("EulerDiscreteScheduler", grids, ENDS)
    yield from _over("HeunDiscreteScheduler", grids)
    yield from _over("KDPM2DiscreteScheduler", grids)
    for order in (2, 3, 4):
        yield from _over("LMSDiscreteScheduler", grids, step={"order": order})
    yield from _over("DEISMultistepScheduler", grids, _options("solver_order", 2, 3))
    yield from _multistep(grids, ENDS)
    # Singlestep knows one spacing only.
    yield from _over("DPMSolverSinglestepScheduler", base, ENDS, two, kinds, _options("lower_order_final", True, False))
    lu = [{**STABLE, "use_lu_lambdas": True}]
    yield from _over("DPMSolverMultistepScheduler", lu, ENDS, two, kinds)
    # The first of the papers, on eps, which cannot reach the clean picture.
    on_eps = _options("algorithm_type", "dpmsolver")
    yield from _over("DPMSolverMultistepScheduler", grids + lu, ENDS[1:], on_eps, two, kinds)
    # UniPC alone lets the least level be set, as our grids do.
    yield from _over("UniPCMultistepScheduler", base, SPREADS, ENDS, two, _options("sigma_min", 0.05, 0.1))


def flow_matching() -> Iterator[Choice]:
    """Over the flow schedule, from alpha = 0 or next to it, at the usual shifts."""
    shifts = (1.0, 2.0, 3.0, 5.0)
    yield from _over("FlowMatchEulerDiscreteScheduler", _options("shift", *shifts), [{}, *SPREADS])
    yield from _over("FlowMatchHeunDiscreteScheduler", _options("shift", *shifts))
    flow = [{**STABLE, "use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": s} for s in shifts]
    yield from _multistep(flow, ENDS)
    yield from _over("DEISMultistepScheduler", flow, _options("solver_order", 2, 3))
    yield from _over(
        "UniPCMultistepScheduler",
        flow[:1],
        SPREADS,
        ENDS,
        _options("solver_order", 2, 3),
        _options("sigma_min", None, 0.05),
    )


TASKS = {"scaled_linear": stable_diffusion, "flow": flow_matching}


def _levels(scheduler) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and sigma of the state at each network call, in the scheduler's own scale."""
    if not hasattr(scheduler, "sigmas"):
        kept = scheduler.alphas_cumprod.numpy()[scheduler.timesteps].astype(np.float64)
        return np.sqrt(kept), np.sqrt(1 - kept)
    sigmas = scheduler.sigmas.numpy().astype(np.float64)
    if hasattr(scheduler, "sigmas_interpol"):
        # KDPM2's every second call.
        sigmas[1::2] = scheduler.sigmas_interpol.numpy()[1 : len(sigmas) : 2]
    if _is_flow(scheduler):
        return 1 - sigmas, sigmas
    if hasattr(scheduler, "solver_type") or "solver_order" in scheduler.config:
        norm = np.hypot(1, sigmas)
        return 1 / norm, sigmas / norm
    return np.ones_like(sigmas), sigmas


def _is_flow(scheduler) -> bool:
    return "FlowMatch" in type(scheduler).__name__ or bool(scheduler.config.get("use_flow_sigmas"))


def run(
    choice: Choice, steps: int, calls: int, noise: np.ndarray, estimate: Estimate
) -> tuple[np.ndarray, float] | None:
    """The end points of so many steps, and sigma/(alpha + sigma) of their start; None if they need more calls.

    The start is sigma times the noise, at the scheduler's own first level. ``estimate(z, alpha, sigma)`` is E[x | z]
    and E[eps | z].
    """
    scheduler = getattr(diffusers, choice.name)(**choice.settings)
    scheduler.set_timesteps(steps)
    if len(scheduler.timesteps) > calls:
        return None
    if hasattr(scheduler, "set_begin_index"):
        # Else the first timestep is looked up, wrongly where two levels are rounded to it.
        scheduler.set_begin_index(0)
    alpha, sigma = _levels(scheduler)
    state = torch.tensor(sigma[0] * noise)
    for call, timestep in enumerate(scheduler.timesteps):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(state, timestep)
        x, eps = estimate(state.numpy().astype(np.float64), alpha[call], sigma[call])
        output = torch.tensor(eps - x if _is_flow(scheduler) else eps)
        state = scheduler.step(output, timestep, state, **choice.step).prev_sample
    return state.numpy().astype(np.float64), float(sigma[0] / (alpha[0] + sigma[0]))


def attempt(choice: Choice, calls: int, noise: np.ndarray, estimate: Estimate) -> tuple[np.ndarray, float] | None:
    """``run`` with as many steps as fit into the calls; None where the scheduler cannot run so."""
    for steps in range(calls, 0, -1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = run(choice, steps, calls, noise, estimate)
        except (ValueError, IndexError, RuntimeError):
            # Settings that exclude each other, or that end in a singular system of equations.
            return None
        if result is not None:
            return result if np.isfinite(result[0]).all() else None
    return None
