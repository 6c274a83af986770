"""Solvers from pure noise to a picture, as steps under ``lax.scan``.

Each solves the probability-flow ODE dz/dt = alpha'(t) x(z, t) + sigma'(t) eps(z, t) (arXiv 2011.13456, in terms of the
denoised estimate x), where ``denoise(z, t) -> x`` and eps = (z - alpha x) / sigma. A step is a plain function
(denoise, schedule, z, t, s) -> z at s, for one step from time t down to s < t.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.diffusion.schedule import Schedule

Images = Float[Array, "batch height width channels"]
Scalar = Float[Array, ""]
Denoise = Callable[[Images, Scalar], Images]
Step = Callable[[Denoise, Schedule, Images, Scalar, Scalar], Images]


def uniform_grid(steps: int) -> Float[Array, "steps_plus_1"]:
    """Times from 1 down to 0, both included, evenly spaced."""
    return jnp.linspace(1.0, 0.0, steps + 1)


def _noise(schedule: Schedule, z: Images, x: Images, t: Scalar) -> Images:
    """The noise estimate that goes with the denoised estimate x. t is never 0: solvers only look at step starts."""
    return (z - schedule.alpha(t) * x) / schedule.sigma(t)


def _slope(schedule: Schedule, z: Images, x: Images, t: Scalar) -> Images:
    """dz/dt of the probability-flow ODE."""
    alpha_slope, sigma_slope = schedule.slopes(t)
    return alpha_slope * x + sigma_slope * _noise(schedule, z, x, t)


def ddim_step(denoise: Denoise, schedule: Schedule, z: Images, t: Scalar, s: Scalar) -> Images:
    """DDIM with eta = 0 (arXiv 2010.02502, equation 12): keep x and eps, change the level."""
    x = denoise(z, t)
    return schedule.alpha(s) * x + schedule.sigma(s) * _noise(schedule, z, x, t)


def euler_step(denoise: Denoise, schedule: Schedule, z: Images, t: Scalar, s: Scalar) -> Images:
    """Euler's method in t: first order. Under the flow schedule it is DDIM."""
    return z + (s - t) * _slope(schedule, z, denoise(z, t), t)


def heun_step(denoise: Denoise, schedule: Schedule, z: Images, t: Scalar, s: Scalar) -> Images:
    """Heun's method in t: second order, two calls (arXiv 2206.00364, algorithm 1 without churn).

    The step that ends at s = 0 stays an Euler step, since the slope is singular there (sigma = 0).
    """
    slope = _slope(schedule, z, denoise(z, t), t)
    euler = z + (s - t) * slope

    def corrected(_):
        again = _slope(schedule, euler, denoise(euler, s), s)
        return z + (s - t) * 0.5 * (slope + again)

    return jax.lax.cond(s > 0, corrected, lambda _: euler, None)


SAMPLERS: dict[str, Step] = {"ddim": ddim_step, "euler": euler_step, "heun": heun_step}


def solve(
    step: Step, denoise: Denoise, schedule: Schedule, z: Images, grid: Float[Array, "steps_plus_1"], film: bool = False
) -> tuple[Images, Images | None]:
    """Run ``step`` over the time grid.

    Args:
      z: the state at grid[0]; pure noise where grid[0] = 1.
      film: also return the state at each step's start, which costs memory.

    Returns:
      The state at grid[-1], and the states at grid[:-1], [steps, batch, height, width, channels], or None.
    """

    def body(state: Images, times: tuple[Scalar, Scalar]):
        return step(denoise, schedule, state, *times), state if film else None

    return jax.lax.scan(body, z, (grid[:-1], grid[1:]))
