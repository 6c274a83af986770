"""Power-function averages of any length, made on the host from the snapshots of a run."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dfjax.checkpoint.snapshots import Reconstructed, Snapshots
from dfjax.checkpoint.store import AVERAGES, CheckpointError
from dfjax.checkpoint.workdir import Workdir
from dfjax.diffusion import posthoc

_log = logging.getLogger(__name__)

# A profile that is off by half of itself is not the wanted average in any sense.
_USELESS = 0.5


@dataclasses.dataclass(frozen=True)
class Result:
    """An average that was made: its length and step, where it lies, and of how many snapshots.

    ``residual`` is how far its profile is from the wanted one, over the norm of that; 0 where a snapshot has it.
    """

    std: float
    step: int
    path: Path
    residual: float
    snapshots: int


def reconstruct(workdir: Workdir, stds: Sequence[float], step: int | None = None) -> list[Result]:
    """Make the averages of lengths ``stds`` (in (0, 1/sqrt(12)]) over the first ``step`` steps, and keep them.

    All snapshots help, those after ``step`` too (EDM2, arXiv 2312.02696, section 3.2). By default ``step`` is the
    newest snapshot's. An average that was made before is replaced.

    Raises:
      CheckpointError: there is no snapshot, none at or after ``step``, one is damaged, or nothing near can be made.
    """
    workdir.require_checkpoint()
    with Snapshots(workdir.snapshots) as snapshots:
        steps = _steps(workdir, snapshots, step)
        lengths = {number: snapshots.lengths(number) for number in steps}
        stored = [posthoc.Average(number, std) for number in steps for std in lengths[number]]
        end = steps[-1] if step is None else step
        solved = {std: posthoc.weights(stored, posthoc.Average(end, std)) for std in stds}
        for std, found in solved.items():
            if found.residual > _USELESS:
                raise CheckpointError(
                    f"no average of length {std} at step {end} can be made of {len(steps)} snapshots: the nearest "
                    f"is off by {100 * found.residual:.0f} %; choose a --step with a snapshot, or a longer --std"
                )
        weights = {std: dict(zip(stored, found.values, strict=True)) for std, found in solved.items()}
        sums = _sums(snapshots, lengths, weights)
        config, tokenizer = snapshots.meta(steps[-1])["config"], snapshots.tokenizer(steps[-1])
    results = []
    for std, (_, residual) in solved.items():
        folder = workdir.reconstructed(std)
        meta = {"config": config, "std": std, "residual": residual, "snapshots": steps}
        with Reconstructed(folder, write=True) as made:
            if end in made.steps():
                made.delete(end)
            made.save(end, {AVERAGES: {str(std): sums[std]}}, meta, tokenizer)
        results.append(Result(std, end, folder / f"step_{end}", residual, len(steps)))
    return results


def _steps(workdir: Workdir, snapshots: Snapshots, step: int | None) -> list[int]:
    """Steps of the snapshots, in order. Raises CheckpointError if there is none, or ``step`` is not among them."""
    steps = snapshots.steps()
    if not steps:
        raise CheckpointError(
            f"{workdir.path} has no snapshots of averages: train another --workdir, from its start, with "
            "--config.optim.ema_stds='(0.05, 0.1)' and --config.train.snapshot_every_steps=N"
        )
    if step is not None and not 1 <= step <= steps[-1]:
        raise CheckpointError(
            f"{workdir.path} has no snapshot at or after step {step}; choose a --step from 1 to {steps[-1]}"
        )
    return steps


def _sums(
    snapshots: Snapshots, lengths: dict[int, dict[float, Any]], weights: dict[float, dict[posthoc.Average, float]]
) -> dict[float, Any]:
    """The sums of the stored averages under each of ``weights``, in float64, rounded once to the leaves' type.

    Args:
      lengths: shapes of the stored averages, by step and length. One step's are in memory at a time.
    """
    host = jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
    first = next(tree for stored in lengths.values() for tree in stored.values())
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=host), first)
    sums = {wanted: jax.tree.map(lambda leaf: np.zeros(leaf.shape), like) for wanted in weights}
    for number, stored in lengths.items():
        if not any(given[posthoc.Average(number, std)] for given in weights.values() for std in stored):
            continue
        _log.info("reading the snapshot of step %d", number)
        for std, params in snapshots.read(number, dict.fromkeys(stored, like)).items():
            for wanted, given in weights.items():
                _add(sums[wanted], params, given[posthoc.Average(number, std)])
    return {
        wanted: jax.tree.map(lambda leaf, total: total.astype(leaf.dtype), like, tree) for wanted, tree in sums.items()
    }


def _add(sums: Any, params: Any, weight: float) -> None:
    """Add ``weight`` times ``params`` to ``sums`` (float64 arrays) in place."""
    for total, leaf in zip(jax.tree.leaves(sums), jax.tree.leaves(params), strict=True):
        total += weight * np.asarray(leaf, np.float64)
