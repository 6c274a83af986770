"""The validation loss: fixed records, noise levels and noise, so that the same weights give the same number."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.core import images, rng
from dfjax.diffusion import loss as loss_lib
from dfjax.models.denoiser import Denoiser
from dfjax.objective import process as process_lib
from dfjax.parallel import mesh as mesh_lib

LEVELS = tuple((k + 0.5) / 8 for k in range(8))


@dataclasses.dataclass(frozen=True)
class Loss:
    """A mean over records, and its standard error; None of a single record."""

    mean: float
    stderr: float | None


def make(denoiser: Denoiser, config: config_lib.Config, mesh: Mesh) -> Callable[[Any, Sequence[dict]], dict[str, Loss]]:
    """A function (params, batches) -> ``validation/loss`` and ``validation/loss_t=...`` for each of LEVELS.

    Batches have ``image``, ``tokens`` and ``mask`` (1 for a record, 0 for padding). Record i's noise is drawn from
    (seed, i), the same at each level and at each call. Losses are unweighted over LEVELS, in the terms of training.
    """
    process = process_lib.make(config.diffusion)

    def at_levels(params, batch, first):
        x0 = images.to_unit(batch["image"])
        index = first + jnp.arange(x0.shape[0], dtype=jnp.int32)
        eps = loss_lib.gaussian(rng.per_example(rng.stream(config.train.seed, "validation"), index), x0.shape[1:])

        def at_level(level):
            return loss_lib.per_example(
                lambda z, t: process.output(denoiser, params, z, t, batch["tokens"]),
                x0,
                eps,
                process.snap(jnp.full(x0.shape[:1], level)),
                schedule=process.schedule,
                kind=process.kind,
                weighting=process.weighting,
            )

        return jax.lax.map(at_level, jnp.array(LEVELS)), batch["mask"]

    compiled = jax.jit(at_levels, out_shardings=mesh_lib.replicated(mesh))

    def validate(params, batches: Sequence[dict]) -> dict[str, Loss]:
        by_record, first = [], 0
        for batch in batches:
            losses, mask = jax.device_get(compiled(params, batch, first))
            by_record.append(losses[:, mask > 0].astype(np.float64))
            first += len(mask)
        records = np.concatenate(by_record, axis=1)
        named = {f"validation/loss_t={level:.2f}": _loss(row) for level, row in zip(LEVELS, records, strict=True)}
        return {"validation/loss": _loss(records.mean(axis=0)), **named}

    return validate


def _loss(records: np.ndarray) -> Loss:
    error = float(records.std(ddof=1) / len(records) ** 0.5) if len(records) > 1 else None
    return Loss(float(records.mean()), error)
