"""The training loss of diffusion: noise the rows, drop captions, call the denoiser, weigh the error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dfjax.config import Config
from dfjax.diffusion import loss as loss_lib
from dfjax.diffusion import weighting
from dfjax.objective import process as process_lib
from dfjax.objective.port import Batch, Keys, Losses, Networks, Objective

# Noise levels of the validation loss.
LEVELS = tuple((k + 0.5) / 8 for k in range(8))


class Draws(NamedTuple):
    """All that is random in a step, for some rows of the global batch."""

    t: Float[Array, "batch"]
    eps: Float[Array, "batch height width channels"]
    dropped: Bool[Array, "batch"]


class Diffusion(Objective):
    """Denoising at random noise levels, by the process that a config names; with a learned variance, EDM2's loss."""

    def __init__(self, process: process_lib.Process):
        self.process = process

    def draw(self, keys: Keys, shape: tuple[int, ...]) -> Draws:
        """Noise levels, noise of ``shape``, and which captions are dropped."""
        t = self.process.timesteps(keys.stratified("timestep"))
        eps = loss_lib.gaussian(keys.each("noise"), shape)
        coin = jax.vmap(jax.random.uniform)(keys.each("caption_dropout"))
        return Draws(t, eps, coin < self.process.diffusion.caption_dropout)

    def losses(self, networks: Networks, batch: Batch, keys: Keys) -> tuple[Losses, dict[str, Losses]]:
        clean = networks.clean(batch, keys)
        t, eps, dropped = self.draw(keys, clean.shape[1:])
        losses = self._at(networks, clean, eps, t, networks.caption(batch, dropped))
        if not self.process.diffusion.learned_variance:
            return losses, {"loss": losses}
        return weighting.learned(losses, networks.denoiser.log_variance(networks.params, t)), {"loss": losses}

    def validate(self, networks: Networks, batch: Batch, keys: Keys) -> dict[str, Losses]:
        """``loss_t=...`` at each of LEVELS, and their mean as ``loss``; a row's noise is the same at each."""
        clean, caption = networks.clean(batch, keys), networks.caption(batch)
        eps = loss_lib.gaussian(keys.each("validation"), clean.shape[1:])

        def at_level(level: Float[Array, ""]) -> Losses:
            return self._at(networks, clean, eps, self.process.snap(jnp.full(clean.shape[:1], level)), caption)

        losses = jax.lax.map(at_level, jnp.array(LEVELS))
        return {"loss": losses.mean(axis=0)} | {f"loss_t={at:.2f}": row for at, row in zip(LEVELS, losses, strict=True)}

    def _at(self, networks: Networks, clean, eps, t, caption) -> Losses:
        process = self.process
        return loss_lib.per_example(
            lambda z, t: process.output(networks.denoiser, networks.params, z, t, caption),
            clean,
            eps,
            t,
            schedule=process.schedule,
            prediction=process.prediction,
            weighting=process.weighting,
        )


def make(config: Config) -> Diffusion:
    """Of the config's ``diffusion`` section. Raises ConfigError for a process that cannot work."""
    return Diffusion(process_lib.make(config.diffusion))
