"""What a run keeps by step, in one folder: written asynchronously, whole or not there, restored onto any mesh.

Each step has items of arrays, ``meta`` (JSON: config, step, versions, ...), ``tokenizer`` (JSON: the file in base64)
and checksums of them all. Checkpoints have the arrays ``params``, ``ema`` and ``optimizer``, and ``averages`` where the
config asks for power-function averages. Nothing in it is code and nothing is ever unpickled.
"""

import abc
import base64
import importlib.metadata
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dfjax import config as config_lib
from dfjax.checkpoint import checksums
from dfjax.checkpoint.barriers import Barriers
from dfjax.checkpoint.lock import Lock
from dfjax.core import storage, trees
from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)

ARRAYS = ("params", "ema", "optimizer")
AVERAGES = "averages"
ITEMS = (*ARRAYS, "meta", "tokenizer")
_UNFINISHED = ".orbax-checkpoint-tmp"
# Where a checkpoint that is not kept goes by one rename, since taking its files away can be cut off in the middle.
_DELETED = "deleted"
_VERSIONED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class CheckpointError(DfjaxError):
    """A checkpoint, or another thing stored by step, that is missing, damaged, or not of this config."""


class SaveError(CheckpointError):
    """The storage failed a save. What was saved before is whole."""


def versions() -> dict[str, str]:
    """Versions of what decides the bits of a step."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


# What else than arrays a step says of itself, and its types: a class, those of a list's members, or of an object's.
_NUMBER = (int, float)
_META: dict[str, Any] = {
    "config": dict,
    "versions": dict,
    "step": int,
    "attempt": int,
    "position": int,
    "devices": int,
    "train_seconds": _NUMBER,
    "residual": _NUMBER,
    "owes_hooks": bool,
    "data": dict,
    "health": {"losses": [_NUMBER], "skipped": int, "skipped_in_a_row": int, "rollbacks": [dict]},
}
_SHOWN = 3
# A run that was killed may take a while to be gone.
_PATIENCE_SECONDS = 20.0
LIMIT_SECONDS = 600


def _listed(faults: list[checksums.Fault]) -> str:
    """The first few faults, and how many more there are."""
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return ", ".join(f"{fault.file} is {fault.what}" for fault in faults[:_SHOWN]) + more


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(name in value and _is(value[name], each) for name, each in kind.items())
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(each, kind[0]) for each in value)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _unwritable(what: str, folder: Path, error: Exception) -> SaveError:
    return SaveError(
        f"{what} could not be written: {storage.fault(error) or error}; {storage.free(folder)} are free there"
    )


class Store(abc.ABC):
    """Arrays, config and tokenizer by step. Use as a context manager: leaving waits for the save in flight."""

    noun: str
    items: tuple[str, ...]  # of arrays, those included that a step may lack

    def __init__(self, folder: Path, *, write: bool, limit_seconds: int = LIMIT_SECONDS, **policy: Any):
        """Open a folder for reading, in which nothing is deleted, or for writing, with Orbax's options ``policy``.

        Args:
          limit_seconds: longest that a save may take, the waiting for other processes included.

        Raises:
          SaveError: the folder cannot be made.
        """
        self.folder = Path(folder)
        self._write = write
        self._saving: int | None = None
        self._barriers = Barriers(self.noun)
        if write:
            self._clear(f"step_*{_UNFINISHED}")
            self._clear(_DELETED)
        options = ocp.CheckpointManagerOptions(
            create=write,
            read_only=not write,
            enable_async_checkpointing=write,
            # Called in the background by the first process, once every process has written its part.
            async_options=ocp.AsyncOptions(
                timeout_secs=limit_seconds, barrier_sync_fn=self._barriers, post_finalization_callback=self._seal
            )
            if write
            else None,
            step_prefix="step",
            todelete_subdir=_DELETED if write else None,
            # It would read the metadata of all steps, and fail where one is damaged.
            lightweight_initialize=True,
            **policy,
        )
        self._manager = self._told(
            0,
            lambda: ocp.CheckpointManager(
                self.folder.absolute(), item_names=(*self.items, "meta", "tokenizer"), options=options
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.wait()
        except SaveError as error:
            if kind is None:
                raise
            # What is on its way says more.
            _log.warning("%s", error)
        finally:
            self._manager.close()
            if self._write:
                self._clear(f"step_*{_UNFINISHED}")
                self._clear(_DELETED)

    def steps(self) -> list[int]:
        """Steps that are there whole, in order; not the one being saved."""
        return sorted(step for step in self._manager.all_steps() if step != self._saving)

    def save(self, step: int, arrays: dict[str, Any], meta: dict[str, Any], tokenizer: bytes) -> None:
        """Start saving; returns once the arrays are copied. A step that is there already is left alone.

        Raises:
          SaveError: the storage failed this save, or the one before it.
        """
        self.wait()
        if step in self._manager.all_steps():
            return
        # Of a save that failed, some part may have gone on writing.
        self._clear(f"step_*{_UNFINISHED}")
        threading.Thread(target=self._clear, args=[_DELETED]).start()
        args = {name: ocp.args.StandardSave(tree) for name, tree in arrays.items()}
        words = {**meta, "step": step, "versions": versions(), "checksums": checksums.NAME}
        args["meta"] = ocp.args.JsonSave(words)
        args["tokenizer"] = ocp.args.JsonSave({"sentencepiece": base64.b64encode(tokenizer).decode()})
        self._saving = step
        self._barriers.begin()
        # By force, or Orbax would pass over a step that is before its newest.
        self._told(step, lambda: self._manager.save(step, args=ocp.args.Composite(**args), force=True))

    @property
    def saving(self) -> int | None:
        """The step that is being saved, as far as :meth:`poll` and :meth:`wait` have seen."""
        return self._saving

    def poll(self) -> None:
        """:meth:`wait`, if there is nothing to wait for any more."""
        if self._saving is not None and not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Until the save in flight is whole. Raises SaveError if the storage failed it."""
        if self._saving is not None:
            self._told(self._saving, self._manager.wait_until_finished)
            self._saving = None

    def _told(self, step: int, call: Callable[[], Any]) -> Any:
        """What ``call`` returns. What storage fails is told in words, and its remains are taken away."""
        try:
            return call()
        except Exception as error:
            self._saving = None
            if not storage.fault(error):
                raise
            _log.debug("saving step %d failed", step, exc_info=error)
            if step:
                self._clear(f"step_{step}{_UNFINISHED}")
                self._manager.reload()
            raise _unwritable(self._name(step) if step else str(self.folder), self.folder, error) from error

    def _seal(self) -> None:
        """The last thing before a step gets its name."""
        checksums.write(self.folder / f"step_{self._saving}{_UNFINISHED}")

    def _clear(self, pattern: str) -> None:
        """Take away what nobody reads: what killed or failed saves left, and what is not kept."""
        if jax.process_index() == 0:
            for left in self.folder.glob(pattern):
                shutil.rmtree(left, ignore_errors=True)

    def delete(self, step: int) -> None:
        """Delete a step that is there. Every process calls this."""
        self._manager.delete(step)
        self._clear(_DELETED)

    def forget_after(self, step: int) -> None:
        """Delete what is past ``step``, from which a run goes on: it makes it again. Every process calls this."""
        for later in self.steps():
            if later > step:
                self.delete(later)

    def verify(self, step: int) -> list[checksums.Fault] | None:
        """Every file of a step that is not as it was saved; None for a step that never had checksums."""
        return self._faults(step, ())

    def arrays(self, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """Restore the items in ``wanted``: trees of ``ShapeDtypeStruct`` whose shardings say where leaves go.

        Raises:
          CheckpointError: a file is damaged, or a leaf's name, shape or type is not the wanted one.
        """
        self._check_files(step, wanted)
        self._check_types(step, wanted)
        args = {name: ocp.args.StandardRestore(tree) for name, tree in wanted.items()}
        return dict(self._guarded(step, lambda: self._manager.restore(step, args=ocp.args.Composite(**args))).items())

    def meta(self, step: int) -> dict[str, Any]:
        """What is said of a step. Raises CheckpointError if it is damaged, or a word is of another type than ours."""
        meta = self._json(step, "meta")
        for key, kind in _META.items():
            if key in meta and not _is(meta[key], kind):
                raise self._damaged(step, f"meta: {key!r} is of another type")
        return meta

    def tokenizer(self, step: int) -> bytes:
        """The bytes of the tokenizer's file."""
        saved = self._json(step, "tokenizer")
        return self._guarded(step, lambda: base64.b64decode(saved["sentencepiece"], validate=True))

    def config(self, step: int) -> config_lib.Config:
        """The config that ``step`` was trained with."""
        try:
            return config_lib.resolve(self.meta(step)["config"])
        except (config_lib.ConfigError, KeyError, TypeError) as error:
            raise CheckpointError(f"{self._name(step)} has a config that this version cannot read: {error}") from error

    def array_shapes(self, step: int, item: str) -> Any:
        """Shapes and types of an item, without reading it."""
        folder = self.folder.absolute() / f"step_{step}" / item
        metadata = self._guarded(step, lambda: ocp.StandardCheckpointHandler().metadata(folder))
        return self._guarded(
            step, lambda: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata.tree)
        )

    def _json(self, step: int, item: str) -> dict[str, Any]:
        if faults := self._faults(step, (item,)):
            raise self._damaged(step, _listed(faults))
        found = self._guarded(
            step, lambda: self._manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.JsonRestore()}))[item]
        )
        if not isinstance(found, dict):
            raise self._damaged(step, f"{item} is no JSON object")
        return found

    def _faults(self, step: int, items: Iterable[str], share: tuple[int, int] = (0, 1)) -> list[checksums.Fault] | None:
        folder = self.folder / f"step_{step}"
        if checksums.exist(folder):
            return self._guarded(step, lambda: checksums.faults(folder, items, share))
        try:
            promised = "checksums" in json.loads((folder / "meta" / "metadata").read_bytes())
        except (OSError, ValueError, TypeError, RecursionError):
            promised = False
        return [checksums.Fault(checksums.NAME, "missing")] if promised else None

    def _check_files(self, step: int, items: Iterable[str]) -> None:
        """Raise CheckpointError unless all files of ``items`` are as saved. Each process reads its share of them."""
        count = jax.process_count()
        faults = self._faults(step, items, (jax.process_index(), count))
        if faults is None:
            _log.warning("%s has no checksums (an earlier version saved it): it is taken as it is", self._name(step))
        elsewhere = False
        if count > 1:
            from jax.experimental import multihost_utils

            elsewhere = bool(multihost_utils.process_allgather(np.int32(bool(faults))).any())
        if faults or elsewhere:
            raise self._damaged(step, _listed(faults) if faults else "another process says which file")

    def _check_types(self, step: int, wanted: dict[str, Any]) -> None:
        # Orbax casts a leaf of another type without a word.
        for item, tree in wanted.items():
            saved = trees.named_leaves(self.array_shapes(step, item))
            for name, leaf in trees.named_leaves(tree).items():
                there = saved.get(name)
                if there is None or (there.shape, there.dtype) != (leaf.shape, leaf.dtype):
                    found = "nothing" if there is None else f"{there.dtype}{list(there.shape)}"
                    raise CheckpointError(
                        f"{self._name(step)} is of another model: {item}/{name} should be "
                        f"{leaf.dtype}{list(leaf.shape)} and it holds {found}; use the config it was trained with"
                    )

    def _guarded(self, step: int, call: Callable[[], Any]) -> Any:
        """What ``call`` returns. Whatever a file makes it raise means that the file is damaged."""
        try:
            return call()
        except Exception as error:
            _log.debug("restore of step %d failed", step, exc_info=error)
            raise self._damaged(step, str(error).strip().split("\n")[0][:200]) from error

    def _damaged(self, step: int, why: str) -> CheckpointError:
        return CheckpointError(f"{self._name(step)} is damaged ({why}); {self._way_back(step)}")

    def _name(self, step: int) -> str:
        return f"the {self.noun} {self.folder / f'step_{step}'}"

    @abc.abstractmethod
    def _way_back(self, step: int) -> str:
        """What to do where ``step`` is damaged, in words."""


class Checkpoints(Store):
    """The checkpoints of one run: all that it goes on from."""

    noun = "checkpoint"
    items = (*ARRAYS, AVERAGES)

    def __init__(
        self,
        folder: Path,
        keep_last: int | None = None,
        keep_every_steps: int = 0,
        patience_seconds: float = _PATIENCE_SECONDS,
        limit_seconds: int = LIMIT_SECONDS,
    ):
        """Open a folder of checkpoints. ``keep_last=None`` opens it for reading and deletes nothing.

        Raises:
          CheckpointError: for writing, and another process still writes there after ``patience_seconds``.
          SaveError: the folder cannot be made.
        """
        self._lock = Lock(Path(folder))
        if keep_last is not None and jax.process_index() == 0:
            self._own(Path(folder), patience_seconds)
        keep = {"max_to_keep": keep_last, "keep_period": keep_every_steps or None}
        super().__init__(folder, write=keep_last is not None, limit_seconds=limit_seconds, **keep)

    def __exit__(self, *exception):
        try:
            super().__exit__(*exception)
        finally:
            self._lock.leave()

    def _own(self, folder: Path, patience_seconds: float) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = self._lock.take(patience_seconds)
        except OSError as error:
            raise _unwritable(str(folder), folder, error) from error
        if not taken:
            raise CheckpointError(f"another run is writing to {folder}: end it first, or choose another --workdir")

    def _way_back(self, step: int) -> str:
        older = [s for s in self.steps() if s < step]
        if older:
            return f"delete that folder to go on from step {older[-1]}"
        return "there is no older one: start anew in another --workdir"
