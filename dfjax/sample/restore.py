"""A trained denoiser from a work directory, ready to draw."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.models import denoiser as denoiser_lib
from dfjax.parallel import rules
from dfjax.text.tokenizer import Tokenizer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Trained:
    """Averaged weights and all that is needed to call them."""

    config: config_lib.Config
    denoiser: denoiser_lib.Denoiser
    tokenizer: Tokenizer
    params: Any
    step: int


def load(workdir: Path | str, mesh: Mesh, step: int | None = None) -> Trained:
    """The averaged weights of a run's checkpoint (the newest by default), sharded over ``mesh``.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    room = Workdir(Path(workdir))
    newest = room.require_checkpoint()
    step = newest if step is None else step
    if step not in room.steps():
        raise CheckpointError(
            f"{room.path} has no checkpoint of step {step}; it has {', '.join(map(str, room.steps()))}"
        )
    with Checkpoints(room.checkpoints) as checkpoints:
        config = checkpoints.config(step)
        tokenizer = Tokenizer(checkpoints.tokenizer(step), config.text.max_tokens)
        denoiser = denoiser_lib.make(config, tokenizer.vocab_size)
        shapes = denoiser.abstract_params()
        wanted = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            rules.shardings(shapes, mesh),
        )
        params = checkpoints.arrays(step, {"ema": wanted})["ema"]
    _log.info("loaded the averaged weights of step %d from %s", step, room.path)
    return Trained(config, denoiser, tokenizer, params, step)
