"""Where the processes of one store wait for each other while they save, and how one that fails lets the others know."""

import errno
from typing import Any

import jax
from jax._src import distributed
from orbax.checkpoint import multihost

# Of one save, in this order: all have written; the first process has given the step its name.
_STAGES = ("async_write_complete", "async_commit_complete")
# Of the word that a save is in progress, at its start and at its end.
_SET, _SET_END = "set_value_start", "set_value_end"


class Barriers:
    """Barriers for Orbax (``AsyncOptions.barrier_sync_fn``) that belong to one store and one save.

    Orbax names them alike for all its managers, so that two that save at once would meet each other's. And where one
    process fails to write, it passes by the barriers that the others then wait at, until their limit. Here it says that
    it failed, and meets them there: then they end at once, and nobody gives the step its name.
    """

    def __init__(self, name: str):
        """``name``: of the store, the same on all processes."""
        self._name = name
        self._saves, self._is_open, self._met = 0, False, set[str]()

    def begin(self) -> None:
        """A save starts. Every process calls this before it hands the arrays to Orbax."""
        self._saves, self._is_open, self._met = self._saves + 1, False, set()

    def __call__(self, *, key: str, timeout_ms: int) -> None:
        """Wait for all processes at Orbax's barrier ``key``.

        Raises:
          OSError: ECANCELED: another process failed in this save.
          JaxRuntimeError: some process did not come in time.
        """
        if jax.process_count() == 1:
            return
        if stage := next((stage for stage in _STAGES if stage in key), ""):
            self._wait(stage, timeout_ms)
            if _store().key_value_dir_get(self._path("failed/")):
                raise OSError(errno.ECANCELED, "another process failed in this save")
            return
        if _SET in key:
            if self._is_open:
                self._catch_up(timeout_ms)
                self._wait(f"{_SET}/close", timeout_ms)
            else:
                self._wait(f"{_SET}/open", timeout_ms)
            return
        self._wait(f"{_SET_END}/close" if self._is_open else f"{_SET_END}/open", timeout_ms)
        self._is_open = True

    def _catch_up(self, timeout_ms: int) -> None:
        """At the end of a save: a stage that was never met here is one that this process failed before."""
        for stage in _STAGES:
            if stage not in self._met:
                self._say_failed()
                self._wait(stage, timeout_ms)

    def _say_failed(self) -> None:
        _store().key_value_set(self._path(f"failed/{jax.process_index()}"), "", allow_overwrite=True)

    def _wait(self, name: str, timeout_ms: int) -> None:
        # Before it waits: who is cut off at a stage that others failed in has met it.
        self._met.add(name)
        multihost.get_barrier_sync_fn()(key=self._path(name), timeout_ms=timeout_ms)

    def _path(self, name: str) -> str:
        return f"dfjax/saves/{self._name}/{self._saves}/{name}"


def _store() -> Any:
    """The key-value store of the coordinator."""
    return distributed.global_state.client
