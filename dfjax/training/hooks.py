"""What is done beside the steps of training, every so often: validation, samples."""

import dataclasses
import logging
from collections.abc import Callable, Sequence

import numpy as np

from dfjax.core import storage
from dfjax.data import pipeline
from dfjax.data.source import Source
from dfjax.parallel import mesh as mesh_lib
from dfjax.runtime import heartbeats
from dfjax.training import report, run, validation
from dfjax.training.state import TrainState

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Hook:
    """Something done every so many steps (0: never) and after the last one.

    ``call(state, step)`` returns scalars by name, and pictures by name: uint8 [n, height, width, 3].
    """

    every_steps: int
    call: Callable[[TrainState, int], tuple[dict[str, float], dict[str, np.ndarray]]]


HookMaker = Callable[[run.Run], Hook]


def is_due(every_steps: int, number: int, total: int) -> bool:
    """Every so many steps (0: never) and after the last one."""
    return number == total or bool(every_steps and number % every_steps == 0)


def call(hooks: Sequence[Hook], state: TrainState, number: int, total: int, writer: report.Writer) -> None:
    """Call the hooks that are due after the step ``number`` of ``total``, and write what they give."""
    for hook in hooks:
        if is_due(hook.every_steps, number, total):
            heartbeats.note("evaluating", number, slow=True)
            try:
                scalars, pictures = hook.call(state, number)
            except OSError as error:
                if not (fault := storage.fault(error)):
                    raise
                _log.warning("what comes after step %d is left out this time: %s", number, fault)
                continue
            if scalars:
                writer.write_scalars(number, scalars)
            if pictures:
                writer.write_images(number, pictures)


def validate(ready: run.Run, source: Source | None) -> Hook:
    """Validation loss of the averaged weights; nothing where no validation split is named."""
    config = ready.config
    if source is None:
        return Hook(0, lambda state, number: ({}, {}))
    shards = mesh_lib.batch_shards(ready.mesh)
    size = -(-min(len(source), config.train.validation_examples, config.train.batch_size) // shards) * shards
    batches = []
    for batch in pipeline.fixed_batches(
        source,
        ready.network.inputs,
        config.data,
        batch_size=size,
        limit=config.train.validation_examples,
        sharding=mesh_lib.batch_sharding(ready.mesh),
    ):
        ready.ledger.note(0, batch.bad)
        batches.append(batch.arrays)
    losses = validation.make(ready.network, ready.mesh)

    def loss(state: TrainState, number: int):
        scalars = {name: loss.mean for name, loss in losses(state.ema, batches).items()}
        _log.info("step %d  validation loss %.4f", number, scalars["validation/loss"])
        return scalars, {}

    return Hook(config.train.validate_every_steps, loss)
