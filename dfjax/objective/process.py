"""The diffusion process that a config names: what trainer and sampler share between the mathematics and the network."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from dfjax import config as config_lib
from dfjax.config import ConfigError
from dfjax.core.registry import PREDICTIONS, SAMPLERS, SCHEDULES, TIMESTEPS
from dfjax.diffusion import discrete, grids, samplers, tables, timesteps
from dfjax.diffusion import prediction as prediction_lib
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.weighting import Weighting
from dfjax.models.denoiser import Denoiser

Images = Float[Array, "batch height width channels"]
Levels = Float[Array, "batch"]


@dataclasses.dataclass(frozen=True)
class Process:
    """Schedule, prediction, loss weight and density of t. Make it with :func:`make`, which refuses what cannot work."""

    diffusion: config_lib.Diffusion
    schedule: Schedule
    weighting: Weighting

    @property
    def prediction(self) -> str:
        """What the network predicts."""
        return self.diffusion.prediction

    def snap(self, t: Levels) -> Levels:
        """t, moved up to a level where the process has only so many."""
        return discrete.snap(t, self.diffusion.discrete_steps) if self.diffusion.discrete_steps else t

    def timesteps(self, u: Levels) -> Levels:
        """Noise levels t in [0, 1] for training from even numbers u in (0, 1)."""
        settings = timesteps.Settings(**{name: getattr(self.diffusion, name) for name in timesteps.Settings._fields})
        return self.snap(TIMESTEPS[self.diffusion.timesteps](u, settings, self.schedule))

    def _scales(self, t: Levels) -> tuple[Array, Array]:
        """Alpha and sigma at levels t, each [batch, 1, 1, 1], to multiply pictures with."""
        return tuple(at(t)[:, None, None, None] for at in (self.schedule.alpha, self.schedule.sigma))

    def output(self, denoiser: Denoiser, params: Any, z: Images, t: Levels, caption: Any) -> Images:
        """The network's prediction for noisy pictures z, which it sees at its own scale; float32."""
        alpha, sigma = self._scales(t)
        scale = prediction_lib.input_scale(self.prediction, self.schedule.frame, alpha, sigma, self.diffusion.data_std)
        return denoiser.apply(params, scale * z, t, caption)

    def denoised(self, denoiser: Denoiser, params: Any, z: Images, t: Levels, caption: Any) -> Images:
        """The clean picture that the network's prediction stands for."""
        alpha, sigma = self._scales(t)
        output = self.output(denoiser, params, z, t, caption)
        return prediction_lib.to_x0(self.prediction, output, z, alpha, sigma, self.diffusion.data_std)

    def same_levels(self, other: "Process") -> bool:
        """Whether t means the same noise level in both."""
        keys = ("schedule", "shift", "zero_terminal", "discrete_steps")
        return all(getattr(self.diffusion, key) == getattr(other.diffusion, key) for key in keys)


def make(diffusion: config_lib.Diffusion) -> Process:
    """The process of a config.

    Raises:
      ConfigError: its prediction leaves the picture undefined at an end of its schedule, or its schedule cannot be
        rescaled or has too few levels.
    """
    try:
        schedule = discrete.make(
            diffusion.schedule,
            shift=diffusion.shift,
            zero_terminal=diffusion.zero_terminal,
            steps=diffusion.discrete_steps,
        )
    except discrete.TooFewSteps as error:
        raise ConfigError(f"config key 'diffusion.discrete_steps': {error}; leave it out") from error
    except ValueError as error:
        raise ConfigError(f"config key 'diffusion.zero_terminal': {error}; leave it out") from error
    if not prediction_lib.admitted(diffusion.prediction, schedule):
        kinds = ", ".join(kind for kind in PREDICTIONS if prediction_lib.admitted(kind, schedule))
        names = ", ".join(name for name, plain in SCHEDULES.items() if not plain().ends_in_noise)
        raise ConfigError(
            f"config key 'diffusion.prediction': {diffusion.prediction!r} leaves the clean picture undefined at t = 1, "
            f"where this {diffusion.schedule} schedule ends in pure noise (alpha = 0); use one of {kinds}, or a "
            f"schedule that does not ({names}, without diffusion.zero_terminal)"
        )
    weighting = Weighting(
        loss=diffusion.loss,
        floor=diffusion.min_sigma,
        data_std=diffusion.data_std,
        min_snr_gamma=diffusion.min_snr_gamma,
        sigmoid_bias=diffusion.sigmoid_bias,
        p2_gamma=diffusion.p2_gamma,
    )
    return Process(diffusion, schedule, weighting)


def solver(
    process: Process, settings: config_lib.Sample, strength: float = 1.0
) -> tuple[Float[np.ndarray, "steps_plus_1"], tables.Table]:
    """The time grid and the solver's table that the settings name.

    Args:
      strength: share of the steps to run, for editing, in (0, 1]; the grid starts in the middle below 1.

    Raises:
      ConfigError: more steps than noise levels, or a number that the sampler does not take.
    """
    ends = grids.Ends(settings.grid_min, settings.grid_max, settings.grid_rho)
    try:
        times = grids.make(settings.grid, process.schedule, settings.steps, ends, process.diffusion.discrete_steps)
    except ValueError as error:
        raise ConfigError(f"config key 'sample.steps': {error}") from error
    # A negative eta is the sampler's own.
    given = {"eta": settings.eta if settings.eta >= 0 else None, "churn": settings.churn or None}
    takes = SAMPLERS[settings.sampler].option
    for name, value in given.items():
        if value is not None and name != takes:
            others = ", ".join(key for key, sampler in SAMPLERS.items() if sampler.option == name)
            raise ConfigError(
                f"config key 'sample.{name}': the sampler {settings.sampler} takes none; leave it out, or use {others}"
            )
    part = grids.last_share(times, strength)
    if given["churn"]:
        # It is over the whole run, of which this is a part.
        given["churn"] *= (len(part) - 1) / (len(times) - 1)
    return part, samplers.table(settings.sampler, process.schedule, part, given.get(takes))


def check(config: config_lib.Config) -> None:
    """Raise ConfigError, in words, for a process or a sampler that cannot work."""
    solver(make(config.diffusion), config.sample)


def check_guide(config: config_lib.Config, guide: config_lib.Config) -> None:
    """Raise ConfigError unless one state means the same to a model and to the guide, by their configs."""
    same_levels = make(config.diffusion).same_levels(make(guide.diffusion))
    if not same_levels or config.data.resolution != guide.data.resolution:
        raise ConfigError(
            "config key 'sample.guide': a guide must have the model's own data.resolution and noise levels "
            "(diffusion.schedule, shift, zero_terminal, discrete_steps); choose another"
        )
