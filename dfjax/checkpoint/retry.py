"""Saving again where the storage fails: with back-off, a bounded number of times, while training goes on."""

import logging
import time
from collections.abc import Callable

import jax
import numpy as np

from dfjax.checkpoint.store import SaveError, Store

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 64.0


class Saver:
    """Starts saves into ``store``, and says when a failed one is to be tried again.

    A save that fails does so in the background, when the state it was of has been donated to the next step. So what is
    tried again is the save of the state as it then is, under its own step: as good to go on from, and no copy of the
    arrays is held meanwhile. Of several processes, one may fail alone: they agree on it when the next save is due,
    which is then the next try.
    """

    def __init__(self, store: Store, tries: int, first_pause_seconds: float = 1.0):
        """``tries``: failures in a row after which :class:`SaveError` is raised. Pauses double, up to a minute."""
        self.store = store
        self._tries, self._first_pause = tries, first_pause_seconds
        self._failures, self._again_at = 0, 0.0

    def save(self, start: Callable[[], None]) -> None:
        """Call ``start``, which starts a save into the store, once the one before it is over.

        After a failure nothing is started before its pause is over. Every process calls this, and all do the same.

        Raises:
          SaveError: too many failed in a row.
        """
        self.settle()
        if self._failures and not self._pause_is_over():
            return
        self._attempt(start)

    def is_due_again(self) -> bool:
        """Whether a failed save is to be tried again now. Does not wait. Raises SaveError: too many failed in a row."""
        if jax.process_count() > 1:
            return False
        self._look(self.store.poll)
        return self._failures > 0 and self.store.saving is None and time.monotonic() >= self._again_at

    def _pause_is_over(self) -> bool:
        """The first process's clock decides."""
        is_over = time.monotonic() >= self._again_at
        if jax.process_count() == 1:
            return is_over
        from jax.experimental import multihost_utils

        return bool(multihost_utils.broadcast_one_to_all(np.int32(is_over)))

    def settle(self) -> bool:
        """Wait for the save in flight. Returns whether there was one and it is whole; every process says the same."""
        return self._look(self.store.wait, agreed=True)

    def _look(self, call: Callable[[], None], *, agreed: bool = False) -> bool:
        """Whether the save in flight is whole, by what ``call`` finds; then failures are counted anew."""
        was_saving = self.store.saving is not None
        is_whole = self._attempt(call, agreed=agreed) and was_saving and self.store.saving is None
        if is_whole:
            self._failures = 0
        return is_whole

    def finish(self, step: int, start: Callable[[], None]) -> None:
        """Until ``step``, of which ``start`` saves, is there whole. Raises SaveError: too many failed in a row."""
        while not (self.settle() or step in self.store.steps()):
            time.sleep(max(0.0, self._again_at - time.monotonic()))
            self._attempt(start)

    def _attempt(self, call: Callable[[], None], *, agreed: bool = False) -> bool:
        """Whether ``call`` came through, here and, where it is to be ``agreed``, on all processes."""
        failed: SaveError | None = None
        try:
            call()
        except SaveError as error:
            failed = error
        if agreed and jax.process_count() > 1:
            from jax.experimental import multihost_utils

            if failed is None and multihost_utils.process_allgather(np.int32(0)).any():
                failed = SaveError("another process could not write its part of a checkpoint")
            elif failed is not None:
                multihost_utils.process_allgather(np.int32(1))
        if failed:
            self._note(failed)
        return failed is None

    def _note(self, error: SaveError) -> None:
        self._failures += 1
        if self._failures >= self._tries:
            steps = self.store.steps()
            rest = f"the {self.store.noun} of step {steps[-1]} is whole" if steps else "nothing was saved before"
            raise SaveError(
                f"{error}. It was tried {self._failures} times, and {rest}: mend that (`dfjax checkpoint prune` makes "
                "room), and the same command goes on from there"
            ) from error
        pause = min(self._first_pause * 2 ** (self._failures - 1), _LONGEST_PAUSE)
        self._again_at = time.monotonic() + pause
        when = "in" if jax.process_count() == 1 else "with the first save that is due after"
        _log.warning("%s; try %d of %d comes %s %.0f s", error, self._failures + 1, self._tries, when, pause)
