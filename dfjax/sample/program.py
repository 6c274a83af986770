"""The compiled program that draws a batch: guidance, editing and solver around the network."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.core import rng
from dfjax.core.registry import GUIDANCE
from dfjax.diffusion import editing, prediction, samplers
from dfjax.diffusion import guidance as guidance_lib
from dfjax.diffusion import loss as loss_lib
from dfjax.inputs.network import Network
from dfjax.objective import process as process_lib
from dfjax.parallel import mesh as mesh_lib

Inputs = dict[str, Any]


def make(
    network: Network,
    settings: config_lib.Sample,
    mesh: Mesh,
    *,
    film: bool,
    guide: Network | None,
    strength: float | None,
    masked: bool,
) -> Callable:
    """The jitted (parameters, rows, whole) -> what the codec decodes, uint8 pictures, and the film's frames or None.

    ``parameters`` are those of the denoiser and, where there is one, of the guide. ``rows`` has an entry a picture:
    ``caption`` and ``away`` (the condition of the prompt, and of what guidance leads away from), ``index``
    and ``scale``. ``whole`` has the ``seed``, and for editing ``picture`` (the codec's arrays of one example) and
    ``mask`` [height, width, 1] over what is noised.

    Args:
      strength: share of the steps to run from ``picture``; None: all, from pure noise. masked: ``mask`` counts.
    """
    process, codec = network.process, network.inputs.codec
    times, table = process_lib.solver(process, settings, 1.0 if strength is None else strength)
    bind = _guided(network, settings, guide)
    alpha, sigma = process.schedule.alpha(times), process.schedule.sigma(times)
    # States of a variance-exploding schedule are far outside what a picture can show.
    visible = prediction.input_scale("x0", process.schedule.frame, alpha[:-1], sigma[:-1])

    def draw(parameters: tuple[Any, ...], rows: Inputs, whole: Inputs):
        def fresh(purpose: str, step=0):
            """Normal noise for each picture, a function of (seed, purpose, step, its index)."""
            keys = rng.per_example(rng.stream(whole["seed"], purpose, step), rows["index"])
            return loss_lib.gaussian(keys, codec.shape)

        denoise = bind(parameters, rows)
        noise = fresh("sample")
        state = sigma[0] * noise
        if strength is not None:
            picture = jax.tree.map(lambda x: x[None], whole["picture"])
            key = rng.per_example(rng.stream(whole["seed"], "edit"), jnp.zeros(1, jnp.int32))
            known = jnp.broadcast_to(codec.encode(picture, key), noise.shape)
            state = editing.noised(known, noise, alpha[0], sigma[0])
            if masked:
                denoise = editing.inpaint(denoise, known, whole["mask"])
        drawn, frames = samplers.solve(table, denoise, state, lambda step: fresh("sample_step", step), film=film)
        if frames is not None:
            frames = jax.lax.map(codec.decode, frames * visible[:, None, None, None, None])
        return codec.decode(drawn), frames

    by_row, replicated = mesh_lib.batch_sharding(mesh), mesh_lib.replicated(mesh)
    return jax.jit(draw, in_shardings=(None, by_row, replicated))


def _guided(
    network: Network, settings: config_lib.Sample, guide: Network | None
) -> Callable[[tuple[Any, ...], Inputs], samplers.Denoise]:
    """(parameters, rows) -> the guided estimate as a function of (z, t)."""
    process, denoiser = network.process, network.denoiser
    method = GUIDANCE[settings.guidance_method]
    low, high = settings.guidance_interval

    def bind(parameters: tuple[Any, ...], rows: Inputs) -> samplers.Denoise:
        def estimates(z, t):
            """What the prompt says, and what guidance leads away from."""
            level = jnp.full(z.shape[:1], t)
            if guide is not None:
                own = process.denoised(denoiser, parameters[0], z, level, rows["caption"])
                return own, guide.process.denoised(guide.denoiser, parameters[1], z, level, rows["away"])
            # One call for both captions: a batch twice as large keeps the device busier than two batches.
            twice = jnp.concatenate([z, z])
            captions = jax.tree.map(lambda *both: jnp.concatenate(both), rows["caption"], rows["away"])
            both = process.denoised(denoiser, parameters[0], twice, jnp.concatenate([level, level]), captions)
            return jnp.split(both, 2)

        def denoise(z, t):
            conditional, other = estimates(z, t)
            guided = method(conditional, other, guidance_lib.within(rows["scale"], (t >= low) & (t <= high)))
            if settings.guidance_rescale:
                guided = guidance_lib.rescaled(guided, conditional, settings.guidance_rescale)
            return guided

        return denoise

    return bind
