"""From prompts to pictures: one jitted function, compiled once for a batch size."""

import dataclasses
import logging
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, UInt8

from dfjax import config as config_lib
from dfjax.core import images, rng
from dfjax.diffusion import guidance as guidance_lib
from dfjax.diffusion import loss as loss_lib
from dfjax.diffusion import prediction, samplers
from dfjax.diffusion import schedule as schedule_lib
from dfjax.models.denoiser import Denoiser
from dfjax.parallel import mesh as mesh_lib
from dfjax.text.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

Pictures = UInt8[np.ndarray, "batch height width channels"]


@dataclasses.dataclass(frozen=True)
class Request:
    """One picture to draw: a prompt, a guidance scale, and the index that names its noise within the seed."""

    prompt: str
    index: int
    guidance: float


def requests(prompts: Sequence[str], num: int, guidance: float) -> list[Request]:
    """``num`` pictures of each prompt, prompt by prompt; the n-th of every prompt starts from the same noise."""
    return [Request(prompt, index, guidance) for prompt in prompts for index in range(num)]


def _compiled(
    denoiser: Denoiser, config: config_lib.Config, settings: config_lib.Sample, mesh: Mesh, film: bool
) -> Callable:
    """(params, ids, null ids, seed, indices, scales) -> uint8 pictures, and the film's frames or None."""
    schedule = schedule_lib.make(config.diffusion.schedule, config.diffusion.shift)
    step, grid = samplers.SAMPLERS[settings.sampler], samplers.uniform_grid(settings.steps)
    kind, (low, high) = config.diffusion.prediction, settings.guidance_interval

    def draw(params, ids, null_ids, seed, indices, scales):
        both = jnp.concatenate([ids, jnp.broadcast_to(null_ids, ids.shape)])

        def denoise(z, t):
            # One call for both captions: a batch twice as large keeps the device busier than two batches.
            twice = jnp.concatenate([z, z])
            output = denoiser.apply(params, twice, jnp.full(twice.shape[:1], t), both)
            conditional, unconditional = jnp.split(output, 2)
            output = guidance_lib.classifier_free(conditional, unconditional, scales, (t >= low) & (t <= high))
            return prediction.to_x0(kind, output, z, schedule.alpha(t), schedule.sigma(t))

        keys = rng.per_example(rng.stream(seed, "sample"), indices)
        noise = loss_lib.gaussian(keys, denoiser.image_shape)
        picture, frames = samplers.solve(step, denoise, schedule, noise, grid, film)
        return images.to_uint8(picture), None if frames is None else images.to_uint8(frames)

    rows, whole = mesh_lib.batch_sharding(mesh), mesh_lib.replicated(mesh)
    return jax.jit(draw, in_shardings=(None, rows, whole, whole, rows, rows))


class Sampler:
    """Draws pictures with one compiled program, whatever the prompts, the seed and the guidance scales.

    A picture depends on (weights, prompt, seed, index, guidance, sampler, steps) and not on its batch.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        config: config_lib.Config,
        tokenizer: Tokenizer,
        mesh: Mesh,
        *,
        settings: config_lib.Sample | None = None,
        batch_size: int = 64,
        film: bool = False,
    ):
        """Nothing is compiled before the first call.

        Args:
          settings: sampler, steps and guidance interval; those of the config by default.
          batch_size: pictures drawn at once, rounded up to what the mesh divides.
          film: also return what each step starts from, pure noise first.
        """
        shards = mesh.shape["data"] * mesh.shape["fsdp"]
        self.batch_size = -(-batch_size // shards) * shards
        self._tokenizer, self._mesh = tokenizer, mesh
        self._draw = _compiled(denoiser, config, settings or config.sample, mesh, film)

    def __call__(self, params: Any, wanted: Sequence[Request], seed: int) -> tuple[Pictures, np.ndarray | None]:
        """Draw the wanted pictures, in order.

        Args:
          params: the denoiser's parameters, usually the averaged ones. seed: from 0 up to 2**31 - 1.

        Returns:
          uint8 [n, height, width, 3], and with ``film`` uint8 [steps, n, height, width, 3].
        """
        for prompt in dict.fromkeys(r.prompt for r in wanted if self._tokenizer.is_cut(r.prompt)):
            ids = self._tokenizer.encode(prompt)
            _log.warning(
                "the prompt %r is longer than text.max_tokens=%d: only %r is used",
                textwrap.shorten(prompt, 80),
                len(ids),
                textwrap.shorten(self._tokenizer.decode(ids), 200),
            )
        if any(not r.prompt.strip() for r in wanted):
            _log.warning("a prompt is empty: what is drawn for it is any picture")
        pictures, frames = [], []
        for start in range(0, len(wanted), self.batch_size):
            part = list(wanted[start : start + self.batch_size])
            picture, film = self._draw_padded(params, part, seed)
            pictures.append(picture[: len(part)])
            if film is not None:
                frames.append(film[:, : len(part)])
        return np.concatenate(pictures), np.concatenate(frames, axis=1) if frames else None

    def _draw_padded(self, params: Any, part: list[Request], seed: int):
        padded = part + [part[-1]] * (self.batch_size - len(part))
        rows = mesh_lib.batch_sharding(self._mesh)
        ids = _put(np.stack([self._tokenizer.encode(r.prompt) for r in padded]), rows)
        indices = _put(np.array([r.index for r in padded], np.int32), rows)
        scales = _put(np.array([r.guidance for r in padded], np.float32), rows)
        whole = mesh_lib.replicated(self._mesh)
        null_ids, key = _put(self._tokenizer.null(), whole), _put(np.asarray(seed, np.uint32), whole)
        drawn = self._draw(params, ids, null_ids, key, indices, scales)
        return jax.tree.map(_fetch, drawn)


def _put(value: np.ndarray, sharding: jax.sharding.NamedSharding) -> Int[Array, "..."]:
    """A host array that every process holds, as a global one."""
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def _fetch(value: Array) -> np.ndarray:
    """A global array, whole, on every process."""
    if value.is_fully_addressable:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))


def film_strip(frames: np.ndarray, pictures: Pictures, columns: int) -> Pictures:
    """``columns`` moments of each picture's making, picture by picture, the finished picture last.

    Args:
      frames: uint8 [steps, n, height, width, 3], one per solver step. pictures: uint8 [n, height, width, 3].
    """
    moments = np.linspace(0, len(frames) - 1, columns - 1).round().astype(int)
    rows = [np.concatenate([frames[moments, i], pictures[i : i + 1]]) for i in range(len(pictures))]
    return np.concatenate(rows)
