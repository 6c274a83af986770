"""The validation loss: fixed records, noise levels and noise, so that the same weights give the same number."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.core import images, rng
from dfjax.diffusion import loss as loss_lib
from dfjax.models import process as process_lib
from dfjax.models.denoiser import Denoiser
from dfjax.parallel import mesh as mesh_lib

LEVELS = tuple((k + 0.5) / 8 for k in range(8))


def make(
    denoiser: Denoiser, config: config_lib.Config, mesh: Mesh
) -> Callable[[Any, Sequence[dict]], dict[str, float]]:
    """A function (params, batches) -> ``validation/loss`` and ``validation/loss_t=...`` for each of LEVELS.

    Batches have ``image``, ``tokens`` and ``mask`` (1 for a record, 0 for padding). Record i's noise is drawn from
    (seed, i), the same at each level and at each call. Losses are unweighted over LEVELS, in the terms of training.
    """
    process = process_lib.make(config.diffusion)

    def sums(params, batch, first):
        x0 = images.to_unit(batch["image"])
        index = first + jnp.arange(x0.shape[0], dtype=jnp.int32)
        eps = loss_lib.gaussian(rng.per_example(rng.stream(config.train.seed, "validation"), index), x0.shape[1:])

        def at_level(level):
            losses = loss_lib.per_example(
                lambda z, t: process.output(denoiser, params, z, t, batch["tokens"]),
                x0,
                eps,
                process.snap(jnp.full(x0.shape[:1], level)),
                schedule=process.schedule,
                kind=process.kind,
                weighting=process.weighting,
            )
            return jnp.sum(jnp.where(batch["mask"] > 0, losses, 0.0))

        return jax.lax.map(at_level, jnp.array(LEVELS)), jnp.sum(batch["mask"])

    compiled = jax.jit(sums, out_shardings=mesh_lib.replicated(mesh))

    def validate(params, batches: Sequence[dict]) -> dict[str, float]:
        total, count, first = np.zeros(len(LEVELS)), 0.0, 0
        for batch in batches:
            batch_total, batch_count = jax.device_get(compiled(params, batch, first))
            total, count, first = total + batch_total, count + batch_count, first + len(batch["mask"])
        by_level = total / count
        scalars = {f"validation/loss_t={level:.2f}": float(loss) for level, loss in zip(LEVELS, by_level, strict=True)}
        return {"validation/loss": float(by_level.mean()), **scalars}

    return validate
