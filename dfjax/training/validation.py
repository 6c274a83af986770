"""The validation loss: fixed records, noise levels and noise, so that the same weights give the same number."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dfjax.inputs.network import Network
from dfjax.inputs.spec import sized
from dfjax.objective import port
from dfjax.parallel import mesh as mesh_lib


@dataclasses.dataclass(frozen=True)
class Loss:
    """A mean over records, and its standard error; None of a single record."""

    mean: float
    stderr: float | None


def make(network: Network, mesh: Mesh) -> Callable[[Any, Sequence[dict]], dict[str, Loss]]:
    """A function (params, batches) -> ``validation/loss`` and what else the objective validates, by name.

    Batches are those of training, with a ``mask`` (1 for a record, 0 for padding) besides. Record i's noise is drawn
    from (seed, i), the same at each call.
    """
    objective, seed = network.objective, network.config.train.seed
    frozen = objective.frozen()

    def of_records(trained, frozen, batch, first):
        index = first + jnp.arange(sized(batch), dtype=jnp.int32)
        params, own = port.split(trained)
        ema = trained if objective.needs_ema else None
        keys = port.Keys(seed, 0, 0, index, network.config.train.batch_size)
        return objective.validate(network.bound(params, own=own, frozen=frozen, ema=ema), batch, keys), batch["mask"]

    compiled = jax.jit(of_records, out_shardings=mesh_lib.replicated(mesh))

    def validate(params, batches: Sequence[dict]) -> dict[str, Loss]:
        found: dict[str, list[np.ndarray]] = {}
        first = 0
        for batch in batches:
            losses, mask = jax.device_get(compiled(params, frozen, batch, first))
            for name, rows in losses.items():
                found.setdefault(name, []).append(rows[mask > 0].astype(np.float64))
            first += len(mask)
        return {f"validation/{name}": _loss(np.concatenate(rows)) for name, rows in found.items()}

    return validate


def _loss(records: np.ndarray) -> Loss:
    error = float(records.std(ddof=1) / len(records) ** 0.5) if len(records) > 1 else None
    return Loss(float(records.mean()), error)
