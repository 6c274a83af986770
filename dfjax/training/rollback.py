"""Back to the last good checkpoint after a spike of the loss, past the records that led to it.

As PaLM's authors did by hand (arXiv 2204.02311, section 5.1): steps are taken again from the checkpoint, with other
records and, since ``attempt`` is part of every key, other noise. Where a run goes back to, and what it skips, depends
on its numbers alone. A rollback is saved with the next checkpoint only: a run that is killed before that starts where
the rollback went to, meets the same spike and goes back the same way.
"""

import dataclasses
import logging

import jax
import numpy as np

from dfjax.core import jsonl, storage
from dfjax.training import run
from dfjax.training.health import HealthError, Spike
from dfjax.training.saving import Savers

_log = logging.getLogger(__name__)


def go_back(ready: run.Run, savers: Savers, spike: Spike, seconds: float) -> run.Run:
    """The run as it goes on from its last good checkpoint. Every process calls this.

    The records from there to the spike's last are skipped. Checkpoints and snapshots past it are deleted.

    Raises:
      HealthError: it went back ``train.spike_rollbacks`` times already.
    """
    train, before = ready.config.train, len(ready.health.rollbacks)
    words = f"the loss of step {spike.number} is {spike.loss:.4g}, the median of the last ones {spike.median:.4g}"
    if before >= train.spike_rollbacks:
        raise HealthError(
            f"{words}, after {before} rollbacks: more of them will not help. The newest checkpoint is whole. Lower "
            "--config.optim.learning_rate in another --workdir, or allow more with --config.train.spike_rollbacks"
        )
    # What is in flight may become the checkpoint to go back to.
    savers.settle()
    target = _target(savers.checkpoints.store.steps(), train.checkpoint_every_steps, spike.number)
    savers.forget_after(target)
    saved = run.at(ready, savers.checkpoints.store, target)
    position = ready.position_after(spike.number)
    _log.warning(
        "%s: back to step %d, past the records at positions %d to %d (rollback %d of at most %d)",
        words,
        target,
        saved.position,
        position - 1,
        before + 1,
        train.spike_rollbacks,
    )
    rollback = {
        "attempt": before + 1,
        **spike._asdict(),
        "back_to_step": target,
        "skipped_positions": [saved.position, position],
    }
    saved.health.rollbacks = [*ready.health.rollbacks, rollback]
    attempt = jax.device_put(np.int32(before + 1), saved.state.attempt.sharding)
    state = dataclasses.replace(saved.state, attempt=attempt)
    return dataclasses.replace(saved, state=state, position=position, seconds=seconds)


def write(ready: run.Run) -> None:
    """``rollbacks.jsonl``: the rollbacks of which the run's state knows, one a line."""
    path, rollbacks = ready.workdir.rollbacks, ready.health.rollbacks
    if jax.process_index() == 0 and (rollbacks or path.exists()):
        try:
            jsonl.write(path, rollbacks)
        except OSError as error:
            # Nothing is lost: the checkpoint has them, and the next start or rollback writes them all.
            _log.warning("%s cannot be written: %s", path, storage.fault(error) or error)


def _target(whole: list[int], every_steps: int, spike: int) -> int:
    """The step to go back to: the newest that is always saved, whatever else was (where a run was told to end).

    Step 0 is a new state, which needs no checkpoint.
    """
    wanted = (spike - 1) // every_steps * every_steps
    return wanted if wanted in (0, *whole) else max((step for step in whole if step < spike), default=0)
