"""When a run saves its snapshots and checkpoints, and in which order."""

import dataclasses

from dfjax import config as config_lib
from dfjax.checkpoint import retry
from dfjax.runtime import heartbeats
from dfjax.training import run
from dfjax.training.hooks import is_due
from dfjax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Savers:
    """The savers of a run; ``snapshots`` is None where there are no power-function averages."""

    checkpoints: retry.Saver
    snapshots: retry.Saver | None

    def due(self, intervals: config_lib.Train, number: int, is_last: bool) -> tuple[bool, bool]:
        """Whether a snapshot and a checkpoint are to be saved after the step ``number``, or saved again."""
        total = intervals.num_steps
        return (
            self.snapshots is not None
            and (is_due(intervals.snapshot_every_steps, number, total) or self.snapshots.is_due_again()),
            is_last or is_due(intervals.checkpoint_every_steps, number, total) or self.checkpoints.is_due_again(),
        )

    def save(
        self,
        ready: run.Run,
        state: TrainState,
        number: int,
        seconds: float,
        snapshot_is_due: bool,
        checkpoint_is_due: bool,
    ) -> None:
        """Start saving what is due after the step ``number``: first the snapshot, then the checkpoint."""
        if snapshot_is_due or checkpoint_is_due:
            heartbeats.note("saving", number, slow=True)
        snapshots, checkpoints = self.snapshots, self.checkpoints
        if snapshots and snapshot_is_due:
            snapshots.save(lambda: run.snapshot(ready, snapshots.store, state, number))
        if checkpoint_is_due:
            # A snapshot is whole before the checkpoint is: a run that goes on from there does not pass its step again.
            if snapshots and number == ready.config.train.num_steps:
                snapshots.finish(number, lambda: run.snapshot(ready, snapshots.store, state, number))
            elif snapshots:
                snapshots.settle()
            checkpoints.save(lambda: run.save(ready, checkpoints.store, state, number, seconds))

    def settle(self) -> None:
        """Wait for the saves in flight."""
        for saver in self._all():
            saver.settle()

    def forget_after(self, step: int) -> None:
        """Delete what is past ``step``, from which the run goes on. No save may be in flight."""
        for saver in self._all():
            saver.store.forget_after(step)

    def _all(self) -> list[retry.Saver]:
        return [self.snapshots, self.checkpoints] if self.snapshots else [self.checkpoints]

    def finish(self, ready: run.Run, state: TrainState, number: int, seconds: float) -> None:
        """Until the checkpoint of the last step is there whole."""
        self.checkpoints.finish(number, lambda: run.save(ready, self.checkpoints.store, state, number, seconds))
