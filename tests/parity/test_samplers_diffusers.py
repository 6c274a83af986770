"""Our solvers against diffusers' schedulers, driven by the same denoiser from the same noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import prediction, samplers, schedule
from tests.analytic.gaussian import Mixture

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")
diffusers = pytest.importorskip("diffusers", reason="parity tests need diffusers: pip install 'dfjax[parity]'")

NOISE = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)


def _ours(step, noising, grid):
    return samplers.solve(
        step, lambda z, t: Mixture().denoise(noising, z, t), noising, jnp.asarray(NOISE), jnp.asarray(grid)
    )[0]


def _theirs(scheduler, kind, noising, grid):
    """The scheduler's picture, where its k-th timestep is our time grid[k]."""
    state = torch.tensor(NOISE)
    for timestep, t in zip(scheduler.timesteps, grid[:-1], strict=True):
        z, t = jnp.asarray(state.numpy()), jnp.float32(t)
        x0 = Mixture().denoise(noising, z, t)
        output = prediction.from_x0(kind, x0, z, noising.alpha(t), noising.sigma(t))
        state = scheduler.step(torch.tensor(np.asarray(output)), timestep, state).prev_sample
    return state.numpy()


@pytest.mark.parametrize(
    ("step", "shift"), [(samplers.euler_step, 1.0), (samplers.ddim_step, 1.0), (samplers.ddim_step, 3.0)]
)
def test_flow_matching_euler(step, shift):
    grid = np.asarray(samplers.uniform_grid(15))
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=grid[:-1].astype(np.float64))
    noising = schedule.make("flow", shift)
    np.testing.assert_allclose(scheduler.sigmas, noising.sigma(grid), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        _ours(step, noising, grid), _theirs(scheduler, "flow", noising, grid), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("kind", "name"), [("v", "v_prediction"), ("x0", "sample"), ("eps", "epsilon")])
def test_ddim(kind, name):
    noising, steps = schedule.make("cosine"), 20
    scheduler = diffusers.DDIMScheduler(clip_sample=False, prediction_type=name)
    times = (np.arange(1000) + 1) / 1001
    scheduler.alphas_cumprod = torch.tensor(np.square(noising.alpha(jnp.asarray(times, jnp.float32))))
    scheduler.set_timesteps(steps)
    # Their last step goes to the clean picture, at our t = 0.
    grid = np.append(times[scheduler.timesteps.numpy()], 0).astype(np.float32)
    np.testing.assert_allclose(
        _ours(samplers.ddim_step, noising, grid), _theirs(scheduler, kind, noising, grid), rtol=1e-4, atol=1e-4
    )


def test_a_planted_fault_would_be_seen():
    grid = np.asarray(samplers.uniform_grid(15))
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=grid[:-1].astype(np.float64))
    noising = schedule.make("flow")
    difference = np.abs(_ours(samplers.heun_step, noising, grid) - _theirs(scheduler, "flow", noising, grid))
    assert difference.max() > 1e-3
