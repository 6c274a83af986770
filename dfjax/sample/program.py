"""The compiled program that draws a batch: guidance, editing and solver around the network."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array

from dfjax import config as config_lib
from dfjax.core import images, rng
from dfjax.diffusion import editing, prediction, samplers
from dfjax.diffusion import guidance as guidance_lib
from dfjax.diffusion import loss as loss_lib
from dfjax.models.denoiser import Denoiser
from dfjax.objective import process as process_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample.restore import Trained

Inputs = dict[str, Array]


def make(
    denoiser: Denoiser,
    config: config_lib.Config,
    settings: config_lib.Sample,
    mesh: Mesh,
    *,
    film: bool,
    guide: Trained | None,
    strength: float | None,
    masked: bool,
) -> Callable:
    """The jitted (parameters, rows, whole) -> uint8 pictures, and the film's frames or None.

    ``parameters`` are those of the network and, where there is one, of the guide. ``rows`` has an entry a picture:
    ``ids`` and ``away`` (captions of the prompt and of what guidance leads away from), ``index`` and ``scale``.
    ``whole`` has the ``seed``, and for editing ``picture`` (uint8) and ``mask``.

    Args:
      strength: share of the steps to run from ``picture``; None: all, from pure noise. masked: ``mask`` counts.
    """
    process = process_lib.make(config.diffusion)
    times, table = process_lib.solver(process, settings, 1.0 if strength is None else strength)
    bind = _guided(process, denoiser, settings, guide)
    alpha, sigma = process.schedule.alpha(times), process.schedule.sigma(times)
    # States of a variance-exploding schedule are far outside what a picture can show.
    visible = prediction.input_scale("x0", process.schedule.frame, alpha[:-1], sigma[:-1])

    def draw(parameters: tuple[Any, ...], rows: Inputs, whole: Inputs):
        def fresh(purpose: str, step=0):
            """Normal noise for each picture, a function of (seed, purpose, step, its index)."""
            keys = rng.per_example(rng.stream(whole["seed"], purpose, step), rows["index"])
            return loss_lib.gaussian(keys, denoiser.image_shape)

        denoise = bind(parameters, rows)
        noise = fresh("sample")
        state = sigma[0] * noise
        if strength is not None:
            known = jnp.broadcast_to(images.to_unit(whole["picture"]), noise.shape)
            state = editing.noised(known, noise, alpha[0], sigma[0])
            if masked:
                denoise = editing.inpaint(denoise, known, whole["mask"])
        picture, frames = samplers.solve(table, denoise, state, lambda step: fresh("sample_step", step), film=film)
        if frames is not None:
            frames = images.to_uint8(frames * visible[:, None, None, None, None])
        return images.to_uint8(picture), frames

    by_row, replicated = mesh_lib.batch_sharding(mesh), mesh_lib.replicated(mesh)
    return jax.jit(draw, in_shardings=(None, by_row, replicated))


def _guided(
    process: process_lib.Process, denoiser: Denoiser, settings: config_lib.Sample, guide: Trained | None
) -> Callable[[tuple[Any, ...], Inputs], samplers.Denoise]:
    """(parameters, rows) -> the guided estimate as a function of (z, t)."""
    method = guidance_lib.METHODS[settings.guidance_method]
    low, high = settings.guidance_interval

    def bind(parameters: tuple[Any, ...], rows: Inputs) -> samplers.Denoise:
        def estimates(z, t):
            """What the prompt says, and what guidance leads away from."""
            level = jnp.full(z.shape[:1], t)
            if guide is not None:
                weaker = process_lib.make(guide.config.diffusion)
                own = process.denoised(denoiser, parameters[0], z, level, rows["ids"])
                return own, weaker.denoised(guide.denoiser, parameters[1], z, level, rows["away"])
            # One call for both captions: a batch twice as large keeps the device busier than two batches.
            twice, ids = jnp.concatenate([z, z]), jnp.concatenate([rows["ids"], rows["away"]])
            return jnp.split(process.denoised(denoiser, parameters[0], twice, jnp.concatenate([level, level]), ids), 2)

        def denoise(z, t):
            conditional, other = estimates(z, t)
            guided = method(conditional, other, guidance_lib.within(rows["scale"], (t >= low) & (t <= high)))
            if settings.guidance_rescale:
                guided = guidance_lib.rescaled(guided, conditional, settings.guidance_rescale)
            return guided

        return denoise

    return bind
