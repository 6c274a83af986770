"""A trained denoiser from a work directory, ready to draw."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from dfjax.checkpoint.snapshots import Reconstructed
from dfjax.checkpoint.store import CheckpointError, Checkpoints, Store
from dfjax.checkpoint.workdir import Workdir
from dfjax.inputs import network as network_lib
from dfjax.inputs.network import Network
from dfjax.models.denoiser import Params
from dfjax.objective.port import Objective
from dfjax.parallel import rules

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Trained:
    """Averaged weights and all that is needed to call them. ``attempt``: how often the run had gone back by then."""

    network: Network
    params: Any
    step: int
    attempt: int = 0


def load(
    workdir: Path | str,
    mesh: Mesh,
    step: int | None = None,
    average: float | None = None,
    *,
    denoiser: Callable | None = None,
    objective: Objective | None = None,
) -> Trained:
    """The averaged weights of a run's checkpoint (the newest by default), sharded over ``mesh``.

    Args:
      average: take the power-function average of this length that `dfjax average` made, of ``step`` or the newest.
      denoiser, objective: those that the run was trained with, where they are no registered ones.

    Raises:
      CheckpointError: there is no such checkpoint or average, or it is damaged.
    """
    own: dict[str, Any] = {"denoiser": denoiser, "objective": objective}
    found = Workdir(Path(workdir))
    # A damaged newest one bars only who asks for it.
    newest = found.require_checkpoint() if step is None or not found.steps() else step
    if average is not None:
        return _reconstructed(found, mesh, step, average, own)
    step = newest
    if step not in found.steps():
        raise CheckpointError(
            f"{found.path} has no checkpoint of step {step}; it has {', '.join(map(str, found.steps()))}"
        )
    if missing := found.incomplete(step):
        raise CheckpointError(
            f"the checkpoint {found.checkpoints / f'step_{step}'} is damaged, or is being "
            f"deleted: {', '.join(missing)} missing"
        )
    with Checkpoints(found.checkpoints) as checkpoints:
        network, wanted = _described(checkpoints, step, mesh, **own)
        params = checkpoints.arrays(step, {"ema": wanted})["ema"]
        attempt = int(checkpoints.meta(step).get("attempt", 0))
    _log.info("loaded the averaged weights of step %d from %s", step, found.path)
    return Trained(network, params, step, attempt)


def _reconstructed(workdir: Workdir, mesh: Mesh, step: int | None, std: float, own: dict[str, Any]) -> Trained:
    with Reconstructed(workdir.reconstructed(std)) as made:
        steps = made.steps()
        if not steps or (step is not None and step not in steps):
            at, flag = ("", "") if step is None else (f" at step {step}", f" --step={step}")
            raise CheckpointError(
                f"{workdir.path} has no average of length {std}{at}: "
                f"`dfjax average --workdir={workdir.path} --std={std}{flag}` makes it"
            )
        step = steps[-1] if step is None else step
        network, wanted = _described(made, step, mesh, **own)
        params = made.read(step, {std: wanted})[std]
        residual = made.meta(step)["residual"]
    _log.info("loaded the average of length %s at step %d from %s, residual %.1e", std, step, workdir.path, residual)
    return Trained(network, params, step)


def _described(store: Store, step: int, mesh: Mesh, **own: Any) -> tuple[Network, Params]:
    """The network, and the shapes of all that is trained with their shardings over ``mesh``."""
    config = store.config(step)
    network = network_lib.make(config, saved=store.tokenizer(step), mesh=mesh, **own)
    shapes = network.abstract_params()
    wanted = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        rules.shardings(network.described, shapes, mesh),
    )
    return network, wanted
