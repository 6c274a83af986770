"""A trained denoiser from a work directory, ready to draw."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.checkpoint.snapshots import Reconstructed
from dfjax.checkpoint.store import CheckpointError, Checkpoints, Store
from dfjax.checkpoint.workdir import Workdir
from dfjax.inputs.tokenizer import Tokenizer
from dfjax.models import denoiser as denoiser_lib
from dfjax.parallel import layout, rules

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Trained:
    """Averaged weights and all that is needed to call them. ``attempt``: how often the run had gone back by then."""

    config: config_lib.Config
    denoiser: denoiser_lib.Denoiser
    tokenizer: Tokenizer
    params: Any
    step: int
    attempt: int = 0


def load(workdir: Path | str, mesh: Mesh, step: int | None = None, average: float | None = None) -> Trained:
    """The averaged weights of a run's checkpoint (the newest by default), sharded over ``mesh``.

    Args:
      average: take the power-function average of this length that `dfjax average` made, of ``step`` or the newest.

    Raises:
      CheckpointError: there is no such checkpoint or average, or it is damaged.
    """
    room = Workdir(Path(workdir))
    # A damaged newest one bars only who asks for it.
    newest = room.require_checkpoint() if step is None or not room.steps() else step
    if average is not None:
        return _reconstructed(room, mesh, step, average)
    step = newest
    if step not in room.steps():
        raise CheckpointError(
            f"{room.path} has no checkpoint of step {step}; it has {', '.join(map(str, room.steps()))}"
        )
    if missing := room.incomplete(step):
        raise CheckpointError(
            f"the checkpoint {room.checkpoints / f'step_{step}'} is damaged, or is being deleted: {', '.join(missing)} "
            "missing"
        )
    with Checkpoints(room.checkpoints) as checkpoints:
        config, tokenizer, denoiser, wanted = _described(checkpoints, step, mesh)
        params = checkpoints.arrays(step, {"ema": wanted})["ema"]
        attempt = int(checkpoints.meta(step).get("attempt", 0))
    _log.info("loaded the averaged weights of step %d from %s", step, room.path)
    return Trained(config, denoiser, tokenizer, params, step, attempt)


def _reconstructed(room: Workdir, mesh: Mesh, step: int | None, std: float) -> Trained:
    with Reconstructed(room.reconstructed(std)) as made:
        steps = made.steps()
        if not steps or (step is not None and step not in steps):
            at, flag = ("", "") if step is None else (f" at step {step}", f" --step={step}")
            raise CheckpointError(
                f"{room.path} has no average of length {std}{at}: "
                f"`dfjax average --workdir={room.path} --std={std}{flag}` makes it"
            )
        step = steps[-1] if step is None else step
        config, tokenizer, denoiser, wanted = _described(made, step, mesh)
        params = made.read(step, {std: wanted})[std]
        residual = made.meta(step)["residual"]
    _log.info("loaded the average of length %s at step %d from %s, residual %.1e", std, step, room.path, residual)
    return Trained(config, denoiser, tokenizer, params, step)


def _described(
    store: Store, step: int, mesh: Mesh
) -> tuple[config_lib.Config, Tokenizer, denoiser_lib.Denoiser, denoiser_lib.Params]:
    """Config, tokenizer, denoiser, and its parameters' shapes with their shardings over ``mesh``."""
    config = store.config(step)
    if config.text.features or config.data.latent_channels:
        raise CheckpointError(
            "this run was trained on latents or a frozen encoder's features, which dfjax cannot yet make of a prompt "
            "or turn into a picture: only runs on pixels and captions can be drawn from"
        )
    tokenizer = Tokenizer(store.tokenizer(step), config.text.max_tokens)
    work = denoiser_lib.work(config)
    denoiser = denoiser_lib.make(config, tokenizer.vocab_size, layout.make(config.model, work, mesh))
    shapes = denoiser.abstract_params()
    wanted = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        rules.shardings(denoiser.described, shapes, mesh),
    )
    return config, tokenizer, denoiser, wanted
