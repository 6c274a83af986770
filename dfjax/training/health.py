"""The health of a run's numbers, seen from the host: what the step skipped and why, and when to go back or to end.

The jitted step decides alone what to skip (``step.make``). What it says of itself stays on the device until it is
looked at, every ``train.log_every_steps`` and before each save, so that no step waits for the host, and no state is
saved whose steps were not looked at. What is decided is a function of the numbers alone, not of when they are read.
"""

import collections
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dfjax import config as config_lib
from dfjax.core import jsonl
from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)

_SCALARS = ("loss", "grad_norm", "param_norm")
_NAMED = 3
_ADVICE = "Lower --config.optim.learning_rate or --config.optim.clip_norm in another --workdir, or look at the records"


class HealthError(DfjaxError):
    """A run whose numbers are lost, or go astray again and again."""


class Rows(NamedTuple):
    """The records of a step: where the first stands, how many there are, and their ids (none for synthetic data)."""

    position: int
    size: int
    ids: Sequence[str]

    def words(self) -> str:
        where = f"records at positions {self.position} to {self.position + self.size - 1}"
        return f"{where} ({_some(self.ids)})" if self.ids else where


class Spike(NamedTuple):
    """A step whose loss is more than ``train.spike_factor`` times the median of those before it."""

    number: int
    loss: float
    median: float


class Health:
    """What was found at each step, told in the log and in ``skipped_steps.jsonl``; and the spike guard's losses."""

    def __init__(
        self,
        train: config_lib.Train,
        path: Path,
        leaves: Sequence[str],
        saved: Mapping[str, Any] | None = None,
    ):
        """``path``: of the list. ``leaves``: names of the parameters. ``saved``: what :meth:`saved` gave."""
        saved = saved or {}
        self._train, self._path, self._leaves = train, path, leaves
        self._losses = collections.deque(saved.get("losses", ()), train.spike_window if train.spike_factor else 0)
        self._lines = jsonl.Lines(path)
        self._unseen: list[tuple[int, dict[str, jax.Array]]] = []
        self.skipped = int(saved.get("skipped", 0))
        self.skipped_in_a_row = int(saved.get("skipped_in_a_row", 0))
        self.rollbacks: list[dict[str, Any]] = list(saved.get("rollbacks", ()))

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON; call :meth:`look` before."""
        names = ("skipped", "skipped_in_a_row", "rollbacks")
        return {"losses": list(self._losses)} | {name: getattr(self, name) for name in names}

    def scalars(self) -> dict[str, float]:
        """How many steps were skipped and how often the run went back, over all resumes."""
        return {"train/skipped_steps": float(self.skipped), "train/rollbacks": float(len(self.rollbacks))}

    def note(self, number: int, metrics: dict[str, jax.Array]) -> None:
        """Keep the metrics of the step ``number``, where they are."""
        self._unseen.append((number, metrics))

    def look(self, rows: Callable[[int], Rows]) -> tuple[list[dict[str, float]], Spike | None]:
        """The scalars of all steps since the last look, up to a spike; and the spike. Waits for the device.

        Args:
          rows: from a step to its records.

        Raises:
          HealthError: ``train.max_skipped_steps`` in a row were not finite, or the parameters are not.
        """
        unseen, self._unseen = self._unseen, []
        scalars: list[dict[str, float]] = []
        for number, found in jax.device_get(unseen):
            self.skipped, self.skipped_in_a_row = int(found["skipped"]), int(found["skipped_in_a_row"])
            values = {name: float(found[name]) for name in _SCALARS}
            values |= {name: float(value) for name, value in found.get("scalars", {}).items()}
            if self.skipped_in_a_row:
                self._tell(number, values, found["finite"], rows(number))
            elif self._is_spike(values["loss"]):
                return scalars, Spike(number, values["loss"], float(np.median(self._losses)))
            else:
                self._losses.append(values["loss"])
            if not np.isfinite(values["param_norm"]):
                raise HealthError(
                    f"the norm of the parameters is {values['param_norm']} after step {number}: they are lost, the "
                    f"checkpoints before it are not. {_ADVICE}"
                )
            scalars.append(values)
        return scalars, None

    def _is_spike(self, loss: float) -> bool:
        full = self._losses.maxlen and len(self._losses) == self._losses.maxlen
        return bool(full) and loss > self._train.spike_factor * float(np.median(self._losses))

    def _tell(self, number: int, values: dict[str, float], finite: np.ndarray, rows: Rows) -> None:
        """Log and list a skipped step; end the run where it is one too many in a row."""
        lost = [name for name, good in zip(self._leaves, finite, strict=True) if not good]
        named = f"gradients not finite in {len(lost)} of {len(self._leaves)} arrays ({_some(lost)})"
        words = f"loss {values['loss']}, {named if lost else 'gradients finite one by one'}, {rows.words()}"
        _log.warning("step %d was skipped, its numbers are not finite: %s", number, words)
        if jax.process_index() == 0:
            line = {
                "step": number,
                "loss": str(values["loss"]),
                "gradients": lost,
                "position": rows.position,
                "records": list(rows.ids),
            }
            self._lines.add(line)
        if self.skipped_in_a_row >= self._train.max_skipped_steps:
            first = number - self.skipped_in_a_row + 1
            raise HealthError(
                f"{self.skipped_in_a_row} steps in a row, {first} to {number}, were skipped: their numbers are not "
                f"finite. Step {number}: {words}. None of them changed the parameters, nor a "
                f"checkpoint; {self._path} lists each with its records and layers. {_ADVICE}"
            )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
