"""Our samplers against diffusers' schedulers, step by step: the same denoiser, noise and levels, float32 on both sides.

Their grid is read back from the scheduler (its ``sigmas``, which are sigma/alpha, or sigma itself for flow matching),
so that it is the step that is compared; that grids agree has tests of its own.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.diffusion import discrete, grids, prediction, samplers, tables
from tests.analytic.gaussian import Mixture

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")
diffusers = pytest.importorskip("diffusers", reason="parity tests need diffusers: pip install 'dfjax[parity]'")

# Of NumPy's, at what diffusers does with tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")

LEVELS = 1000
BETAS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
}
KINDS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
make = functools.cache(discrete.make)
START, *FRESH = np.random.default_rng(0).normal(size=(101, 2, 4, 4, 3)).astype(np.float32)


def _make(name, noising, **options):
    """A scheduler of theirs over one of our discrete schedules."""
    kind = getattr(diffusers, name)
    # Not all know of clip_sample; those that do clip unless told not to.
    clip = {"clip_sample": False} if name in ("DDPMScheduler", "DDIMScheduler") else {}
    return kind(num_train_timesteps=LEVELS, **BETAS[noising.name], **clip, **options)


def _levels(scheduler) -> np.ndarray:
    """The sigma/alpha of each of the scheduler's network calls, and of its end; float64 [calls + 1]."""
    if not hasattr(scheduler, "sigmas"):
        kept = scheduler.alphas_cumprod.numpy()[scheduler.timesteps].astype(np.float64)
        end = float(getattr(scheduler, "final_alpha_cumprod", 1.0))
        kept = np.append(kept, end)
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - kept) / kept)
    sigmas = scheduler.sigmas.numpy().astype(np.float64)
    if "FlowMatch" in type(scheduler).__name__ or scheduler.config.get("use_flow_sigmas"):
        with np.errstate(divide="ignore"):
            return sigmas / (1 - sigmas)
    return sigmas


@functools.partial(jax.jit, static_argnums=(0, 1))
def _network(kind, noising, z, t):
    x0 = Mixture().denoise(noising, z, t)
    return prediction.from_x0(kind, x0, z, noising.alpha(t), noising.sigma(t))


def _theirs(scheduler, kind, noising, monkeypatch, **options):
    """Their states after each whole step, and the times of ours at which those steps start and end."""
    ratios = _levels(scheduler)
    times = noising.time(ratios)
    if noising.frame == "vp":
        # Their timestep is our level; of a level between two, and of one moved off pure noise, it is a rounded one.
        moved = ("use_karras_sigmas", "use_exponential_sigmas", "rescale_betas_zero_snr")
        named = discrete.level(times[:-1], LEVELS)
        whole_levels = not any(scheduler.config.get(option) for option in moved)
        np.testing.assert_allclose(named, scheduler.timesteps, atol=0.02 if whole_levels else 1.0)
    # Euler, Heun and LMS keep z/alpha.
    exploding = hasattr(scheduler, "sigmas") and noising.frame == "vp" and scheduler.init_noise_sigma > 1
    scales = 1 / noising.alpha(times) if exploding else np.ones(len(times))
    # A scheduler of two calls a step names each level twice, but for the first and the last: the call that mends a step
    # is at the level of the next one's first.
    changes = np.diff(times) < 0
    whole = changes if changes.all() else np.append(~changes[:-1], True)
    states = []
    if hasattr(sys.modules[type(scheduler).__module__], "randn_tensor"):
        draw = lambda shape, **_: torch.tensor(FRESH[len(states)])  # noqa: E731
        monkeypatch.setattr(sys.modules[type(scheduler).__module__], "randn_tensor", draw)
    state = torch.tensor(START * np.float32(noising.sigma(times[0]) * scales[0]))
    for call, timestep in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(state, timestep) if hasattr(scheduler, "scale_model_input") else None
        output = _network(kind, noising, state.numpy() / np.float32(scales[call]), np.float32(times[call]))
        state = scheduler.step(torch.tensor(np.asarray(output)), timestep, state, **options).prev_sample
        if whole[call]:
            states.append(state.numpy() / np.float32(scales[call + 1]))
    return np.stack(states), times[np.append(changes, True)]


def _ours(table, noising, times):
    """Our states after each step."""
    z = jnp.asarray(START * np.float32(noising.sigma(times[0])))
    end, frames = samplers.solve(
        table, lambda z, t: Mixture().denoise(noising, z, t), z, lambda i: jnp.asarray(FRESH)[i], film=True
    )
    return np.concatenate([np.asarray(frames)[1:], np.asarray(end)[None]])


def _difference(ours, theirs) -> float:
    """The largest over the steps, as a share of the state's root mean square."""
    scale = np.sqrt(np.mean(theirs**2, axis=(1, 2, 3, 4)))
    return float(np.max(np.max(np.abs(ours - theirs), axis=(1, 2, 3, 4)) / scale))


def _compare(scheduler, sampler, kind, noising, monkeypatch, *, option=None, **options) -> float:
    theirs, times = _theirs(scheduler, kind, noising, monkeypatch, **options)
    assert len(theirs) == len(times) - 1
    return _difference(_ours(samplers.table(sampler, noising, times, option), noising, times), theirs)


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("zero_terminal", [False, True])
def test_the_discrete_schedules_are_theirs(name, zero_terminal):
    noising = make(name, steps=LEVELS, zero_terminal=zero_terminal)
    scheduler = _make("DDIMScheduler", noising, rescale_betas_zero_snr=zero_terminal)
    t = (np.arange(LEVELS) + 1) / LEVELS
    np.testing.assert_allclose(noising.alpha(t) ** 2, scheduler.alphas_cumprod, rtol=2e-4, atol=1e-9)
    np.testing.assert_allclose(noising.alpha(t) ** 2, scheduler.alphas_cumprod, atol=1e-6)


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("kind", KINDS)
def test_ddim(name, spacing, kind, monkeypatch):
    noising = make(name, steps=LEVELS)
    scheduler = _make("DDIMScheduler", noising, timestep_spacing=spacing, prediction_type=KINDS[kind])
    scheduler.set_timesteps(20)
    assert _compare(scheduler, "ddim", kind, noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("options", [{"steps_offset": 1}, {"steps_offset": 1, "set_alpha_to_one": False}])
def test_ddim_as_stable_diffusion_sets_it(options, monkeypatch):
    noising = make("scaled_linear", steps=LEVELS)
    scheduler = _make("DDIMScheduler", noising, **options)
    scheduler.set_timesteps(20)
    assert _compare(scheduler, "ddim", "eps", noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("name", BETAS)
def test_ddim_from_pure_noise(name, monkeypatch):
    noising = make(name, steps=LEVELS, zero_terminal=True)
    scheduler = _make(
        "DDIMScheduler",
        noising,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
    )
    scheduler.set_timesteps(20)
    assert _compare(scheduler, "ddim", "v", noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_noise(eta, monkeypatch):
    noising = make("scaled_linear", steps=LEVELS)
    scheduler = _make("DDIMScheduler", noising, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    assert _compare(scheduler, "ddim", "eps", noising, monkeypatch, option=eta, eta=eta) < 1e-4


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("steps", [20, 50])
def test_ddpm(name, steps, monkeypatch):
    noising = make(name, steps=LEVELS)
    scheduler = _make("DDPMScheduler", noising)
    scheduler.set_timesteps(steps)
    assert _compare(scheduler, "ddpm", "eps", noising, monkeypatch) < 1e-4


EXPLODING = {
    "euler": ("EulerDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "lms_2": ("LMSDiscreteScheduler", {"order": 2}),
    "lms_3": ("LMSDiscreteScheduler", {"order": 3}),
    "lms_4": ("LMSDiscreteScheduler", {"order": 4}),
}


@pytest.mark.parametrize("sampler", EXPLODING)
@pytest.mark.parametrize(
    ("name", "spacing", "steps"),
    [("scaled_linear", "linspace", 28), ("scaled_linear", "leading", 20), ("linear", "trailing", 10)],
)
def test_k_diffusion_samplers(sampler, name, spacing, steps, monkeypatch):
    noising = make(name, steps=LEVELS)
    kind, options = EXPLODING[sampler]
    scheduler = _make(kind, noising, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    assert _compare(scheduler, sampler, "eps", noising, monkeypatch, **options) < 1e-4


# Those that keep z itself.
MULTISTEP = {
    "ddim": ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"}),
    "unipc_1": ("UniPCMultistepScheduler", {"solver_order": 1}),
    "unipc_2": ("UniPCMultistepScheduler", {"solver_order": 2}),
    "unipc_3": ("UniPCMultistepScheduler", {"solver_order": 3}),
}


@pytest.mark.parametrize("sampler", MULTISTEP)
@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        ("scaled_linear", 10, {"timestep_spacing": "linspace"}),
        ("linear", 20, {"timestep_spacing": "trailing"}),
        ("scaled_linear", 10, {"use_karras_sigmas": True}),
        ("linear", 20, {"use_exponential_sigmas": True}),
        ("scaled_linear", 20, {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
    ],
)
def test_solvers_in_log_snr(sampler, name, steps, options, monkeypatch):
    noising = make(name, steps=LEVELS)
    kind, own = MULTISTEP[sampler]
    scheduler = _make(kind, noising, **own, **options)
    scheduler.set_timesteps(steps)
    assert _compare(scheduler, sampler, "eps", noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("sampler", MULTISTEP)
def test_solvers_in_log_snr_from_next_to_pure_noise(sampler, monkeypatch):
    # Theirs starts from alpha^2 = 2^-24 where the rescaled table ends in 0.
    noising = make("scaled_linear", steps=LEVELS, zero_terminal=True)
    kind, own = MULTISTEP[sampler]
    spaced = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    scheduler = _make(kind, noising, **own, **spaced)
    scheduler.set_timesteps(20)
    assert _compare(scheduler, sampler, "v", noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", BETAS)
def test_deis(order, name, monkeypatch):
    noising = make(name, steps=LEVELS)
    # Theirs ends at the lowest level, t = 1/1000, and keeps its order down to there from 15 steps on.
    scheduler = _make("DEISMultistepScheduler", noising, solver_order=order)
    scheduler.set_timesteps(20)
    assert _compare(scheduler, f"deis_{order}", "eps", noising, monkeypatch) < 1e-4


def _half_of_the_second_difference(table, grid):
    """Our third order with half the weight of the second difference, as DPM-Solver++(3M) was released.

    The term is b mean(s^2) f, with s the way gone in lambda, its mean weighed by e^s, and f the divided difference.
    """
    lambdas = -grid.log_ratio
    past = table.past.copy()
    for i in range(2, len(past)):
        if past[i, 1] != 0:
            h = lambdas[i + 1] - lambdas[i]
            mean = (h**2 - 2 * h - 2 * np.expm1(-h)) / -np.expm1(-h)
            first, second = lambdas[i - 1] - lambdas[i], lambdas[i - 2] - lambdas[i]
            share = np.array([1 / (first * (first - second)), 1 / (second * (second - first))])
            past[i] -= table.b[i] * mean / 2 * share
    return table._replace(past=past)


@pytest.mark.parametrize("name", BETAS)
def test_the_third_order_multistep_differs_by_half_of_one_term(name, monkeypatch):
    noising = make(name, steps=LEVELS)
    scheduler = _make("DPMSolverMultistepScheduler", noising, solver_order=3)
    scheduler.set_timesteps(10)
    theirs, times = _theirs(scheduler, "eps", noising, monkeypatch)
    table = samplers.table("dpmpp_3m", noising, times)
    halved = _half_of_the_second_difference(table, tables.levels(noising, times))
    assert _difference(_ours(halved, noising, times), theirs) < 1e-4
    assert _difference(_ours(table, noising, times), theirs) > 1e-3


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ["euler", "flow_euler", "ddim"])
def test_flow_matching_euler(sampler, shift, monkeypatch):
    noising = make("flow", shift=shift)
    times = grids.make("trailing", noising, 15)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=times[:-1])
    np.testing.assert_allclose(scheduler.sigmas, noising.sigma(times), rtol=1e-6, atol=1e-7)
    assert _compare(scheduler, sampler, "flow", noising, monkeypatch) < 1e-4


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_flow_matching_heun(shift, monkeypatch):
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(12)
    assert _compare(scheduler, "flow_heun", "flow", make("flow"), monkeypatch) < 1e-4


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "unipc_2", "unipc_3"])
def test_solvers_in_log_snr_for_flow_matching(sampler, shift, monkeypatch):
    kind, own = MULTISTEP[sampler]
    scheduler = getattr(diffusers, kind)(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, **own
    )
    scheduler.set_timesteps(12)
    assert _compare(scheduler, sampler, "flow", make("flow"), monkeypatch) < 1e-4


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize(("grid", "option"), [("karras", "use_karras_sigmas"), ("log_snr", "use_exponential_sigmas")])
def test_grids_of_noise_levels_are_theirs(name, grid, option):
    noising = make(name, steps=LEVELS)
    scheduler = _make("DPMSolverMultistepScheduler", noising, **{option: True})
    scheduler.set_timesteps(12)
    ends = grids.Ends(grid_min=float(noising.ratio(np.asarray(1 / LEVELS))), grid_max=1e3)
    ours = noising.ratio(grids.make(grid, noising, 12, ends))
    np.testing.assert_allclose(ours, scheduler.sigmas, rtol=1e-4)


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_the_trailing_grid_is_theirs(steps):
    noising = make("scaled_linear", steps=LEVELS)
    scheduler = _make("DDIMScheduler", noising, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    times = grids.make("trailing", noising, steps, discrete_steps=LEVELS)
    np.testing.assert_allclose(discrete.level(times[:-1], LEVELS), scheduler.timesteps, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("EulerDiscreteScheduler", "lms_2"),
        ("DPMSolverMultistepScheduler", "ddim"),
        ("UniPCMultistepScheduler", "dpmpp_2m"),
        ("FlowMatchHeunDiscreteScheduler", "heun"),
    ],
)
def test_a_planted_fault_would_be_seen(kind, fault, monkeypatch):
    flow = kind.startswith("Flow")
    noising = make("flow") if flow else make("scaled_linear", steps=LEVELS)
    scheduler = getattr(diffusers, kind)() if flow else _make(kind, noising)
    scheduler.set_timesteps(10)
    assert _compare(scheduler, fault, "flow" if flow else "eps", noising, monkeypatch) > 1e-3
