"""What a run keeps by step, in one folder: written asynchronously, whole or not there, restored onto any mesh.

Each step has items of arrays, ``meta`` (JSON: config, step, versions, ...) and ``tokenizer`` (JSON: the file in
base64). Checkpoints have the arrays ``params``, ``ema`` and ``optimizer``, and ``averages`` where the config asks for
power-function averages. Nothing in it is code and nothing is ever unpickled.
"""

import abc
import base64
import importlib.metadata
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)

ARRAYS = ("params", "ema", "optimizer")
AVERAGES = "averages"
ITEMS = (*ARRAYS, "meta", "tokenizer")
_UNFINISHED = ".orbax-checkpoint-tmp"
_VERSIONED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class CheckpointError(DfjaxError):
    """A checkpoint, or another thing stored by step, that is missing, damaged, or not of this config."""


def versions() -> dict[str, str]:
    """Versions of what decides the bits of a step."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


class Store(abc.ABC):
    """Arrays, config and tokenizer by step. Use as a context manager: leaving waits for the save in flight."""

    noun: str
    items: tuple[str, ...]  # of arrays, those included that a step may lack

    def __init__(self, folder: Path, *, write: bool, **policy: Any):
        """Open a folder for reading, in which nothing is deleted, or for writing, with Orbax's options ``policy``."""
        self.folder = Path(folder)
        if write and jax.process_index() == 0:
            # What a save that was killed has left. (Orbax does it in the background, and stumbles if closed before.)
            for left in self.folder.glob(f"step_*{_UNFINISHED}"):
                shutil.rmtree(left, ignore_errors=True)
        self._manager = ocp.CheckpointManager(
            self.folder.absolute(),
            item_names=(*self.items, "meta", "tokenizer"),
            options=ocp.CheckpointManagerOptions(
                create=write, read_only=not write, enable_async_checkpointing=write, step_prefix="step", **policy
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps that are there whole, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, arrays: dict[str, Any], meta: dict[str, Any], tokenizer: bytes) -> None:
        """Start saving; returns once the arrays are copied. A step that is there already is left alone."""
        if step in self._manager.all_steps():
            return
        args = {name: ocp.args.StandardSave(tree) for name, tree in arrays.items()}
        args["meta"] = ocp.args.JsonSave({**meta, "step": step, "versions": versions()})
        args["tokenizer"] = ocp.args.JsonSave({"sentencepiece": base64.b64encode(tokenizer).decode()})
        # By force, or Orbax would pass over a step that is before its newest.
        self._manager.save(step, args=ocp.args.Composite(**args), force=True)

    def delete(self, step: int) -> None:
        """Delete a step that is there. Every process calls this."""
        self._manager.delete(step)

    def wait(self) -> None:
        """Until the save in flight is whole. Raises what it raised."""
        self._manager.wait_until_finished()

    def arrays(self, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """Restore the items in ``wanted``: trees of ``ShapeDtypeStruct`` whose shardings say where leaves go.

        Raises:
          CheckpointError: a file is damaged, or a leaf's name, shape or type is not the wanted one.
        """
        self._check_types(step, wanted)
        args = {name: ocp.args.StandardRestore(tree) for name, tree in wanted.items()}
        return dict(self._guarded(step, ocp.args.Composite(**args)).items())

    def meta(self, step: int) -> dict[str, Any]:
        return dict(self._guarded(step, ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"])

    def tokenizer(self, step: int) -> bytes:
        """The bytes of the tokenizer's file."""
        saved = self._guarded(step, ocp.args.Composite(tokenizer=ocp.args.JsonRestore()))["tokenizer"]
        return base64.b64decode(saved["sentencepiece"])

    def config(self, step: int) -> config_lib.Config:
        """The config that ``step`` was trained with."""
        try:
            return config_lib.resolve(self.meta(step)["config"])
        except (config_lib.ConfigError, KeyError) as error:
            raise CheckpointError(f"{self._name(step)} has a config that this version cannot read: {error}") from error

    def array_shapes(self, step: int, item: str) -> Any:
        """Shapes and types of an item, without reading it."""
        try:
            metadata = ocp.StandardCheckpointHandler().metadata(self.folder.absolute() / f"step_{step}" / item)
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata.tree)
        except Exception as error:
            raise self._damaged(step, error) from error

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

    def _guarded(self, step: int, args: Any) -> Any:
        try:
            return self._manager.restore(step, args=args)
        except Exception as error:
            raise self._damaged(step, error) from error

    def _damaged(self, step: int, error: Exception) -> CheckpointError:
        _log.debug("restore of step %d failed", step, exc_info=error)
        first = str(error).strip().split("\n")[0][:200]
        return CheckpointError(f"{self._name(step)} is damaged ({first}); {self._way_back(step)}")

    def _name(self, step: int) -> str:
        return f"the {self.noun} {self.folder / f'step_{step}'}"

    @abc.abstractmethod
    def _way_back(self, step: int) -> str:
        """What to do where ``step`` is damaged, in words."""


class Checkpoints(Store):
    """The checkpoints of one run: all that it goes on from."""

    noun = "checkpoint"
    items = (*ARRAYS, AVERAGES)

    def __init__(self, folder: Path, keep_last: int | None = None, keep_every_steps: int = 0):
        """Open a folder of checkpoints. ``keep_last=None`` opens it for reading and deletes nothing."""
        keep = {"max_to_keep": keep_last, "keep_period": keep_every_steps or None}
        super().__init__(folder, write=keep_last is not None, **keep)

    def _way_back(self, step: int) -> str:
        older = [s for s in self.steps() if s < step]
        if older:
            return f"delete that folder to go on from step {older[-1]}"
        return "there is no older one: start anew in another --workdir"
