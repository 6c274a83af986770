"""What a run says of itself: scalars and pictures to TensorBoard, log lines and ``metrics.jsonl``, and its progress."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from dfjax.checkpoint.workdir import Workdir
from dfjax.core import jsonl, storage
from dfjax.training.speed import Speed

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """What takes scalars and pictures (uint8 [n, height, width, 3]) by name: clu's MetricWriter, as far as it is used.

    clu's own class is not named where it need not be, since importing it loads TensorFlow: that takes seconds, and some
    hundred MB.
    """

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None: ...
    def write_images(self, step: int, images: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Nowhere:
    """The writer of all processes but the first, and of files that nobody wants."""

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None: ...
    def write_images(self, step: int, images: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """Scalars as lines ``{"step", "time", name: value, ...}`` of a file; other kinds are left to TensorBoard."""

    def __init__(self, path: Path, start: int):
        """``start``: the step from which the run goes on. What the file has of it is not written again."""
        self._lines = jsonl.Lines(path)
        self._start, self._there = start, [set(line) for line in jsonl.read(path) if line.get("step") == start]

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        if step == self._start and any(scalars.keys() <= names for names in self._there):
            return
        values = {name: jsonl.plain(float(value)) for name, value in scalars.items()}
        self._lines.add({"step": int(step), "time": round(time.time(), 3), **values})

    def write_images(self, step: int, images: Mapping[str, Any]) -> None: ...

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        self._lines.close()


class Summaries:
    """A writer of TensorBoard's files, to which storage that fails costs some points of the curves, and not the run."""

    def __init__(self, make: Callable[[], Writer]):
        self._make, self._is_told = make, False
        self._writer: Writer | None = None

    def _call(self, name: str, *args) -> None:
        try:
            self._writer = self._writer or self._make()
            getattr(self._writer, name)(*args)
        except Exception as error:
            if not (fault := storage.fault(error)):
                raise
            if not self._is_told:
                _log.warning("TensorBoard's files lack what was to be written at this time: %s", fault)
            self._is_told = True
            # A record that was cut ends what can be read of its file: the next one goes to another.
            broken, self._writer = self._writer, None
            with contextlib.suppress(Exception):
                if broken:
                    broken.close()

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        self._call("write_scalars", step, scalars)

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        self._call("write_images", step, images)

    def flush(self) -> None:
        self._call("flush")

    def close(self) -> None:
        self._call("close")


def tensorboard(folder: Path, *, wanted: bool = True, asynchronous: bool = True) -> Writer:
    """clu's writers (event files, log lines) in the first process, if ``wanted``; the others write nothing."""
    if jax.process_index() or not wanted:
        return Nowhere()
    from clu import metric_writers

    return metric_writers.create_default_writer(folder, asynchronous=asynchronous)


def writer(workdir: Workdir, start: int, *, with_tensorboard: bool = True) -> Writer:
    """:class:`JsonLines` of a run that goes on from the step ``start``, and :func:`tensorboard` if it is wanted."""
    if jax.process_index():
        return Nowhere()
    lines = JsonLines(workdir.metrics, start)
    if not with_tensorboard:
        return lines
    from clu import metric_writers

    return metric_writers.MultiWriter([Summaries(lambda: tensorboard(workdir.path)), lines])


class Progress:
    """A line every so many steps: step, loss, images/s, MFU, memory, the time left; and the scalars behind it."""

    def __init__(self, total_steps: int, batch_size: int, seconds_before: float, speed: Speed | None = None):
        """``seconds_before``: what the run had spent in training before it was resumed. ``speed``: of its devices."""
        self._speed = speed
        self._total, self._batch = total_steps, batch_size
        self._before = seconds_before
        self._started = self._lap = time.monotonic()
        self._since: list[dict[str, Any]] = []

    @property
    def seconds(self) -> float:
        """Seconds spent in training, over all resumes."""
        return self._before + time.monotonic() - self._started

    def note(self, scalars: list[dict[str, float]]) -> None:
        """Keep the scalars of steps, in order, for the next line."""
        self._since += scalars

    def scalars(self, step: int) -> dict[str, float]:
        """Means over the steps since the last call, which is logged; of a skipped step only what is finite counts."""
        values = self._since
        means = {name: _mean([v[name] for v in values]) for name in values[0]}
        now = time.monotonic()
        step_seconds = (now - self._lap) / len(values)
        self._lap, self._since = now, []
        left = (self._total - step) * step_seconds
        rate = self._batch / step_seconds
        use = self._speed.scalars(step_seconds) if self._speed else {}
        mfu = f"  MFU {use['train/mfu']:.1%}" if "train/mfu" in use else ""
        memory = f"  memory {use['train/memory_gib']:.1f} GiB" if "train/memory_gib" in use else ""
        _log.info(
            "step %d/%d  loss %.4f  %.1f images/s%s%s  left %s",
            step,
            self._total,
            means["loss"],
            rate,
            mfu,
            memory,
            time_words(left),
        )
        return {
            **{f"train/{name}": value for name, value in means.items()},
            "train/images_per_second": rate,
            "train/step_seconds": step_seconds,
            "train/images_seen": float(step * self._batch),
            **use,
        }

    @contextlib.contextmanager
    def paused(self):
        """What is done inside (validation, samples) does not count as the steps' own time."""
        before = time.monotonic()
        yield
        self._lap += time.monotonic() - before


def _mean(values: list[float]) -> float:
    """Of those that are finite; NaN if there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def time_words(seconds: float) -> str:
    """Such as 1h02m or 3m20s or 12s."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{s:02d}s" if minutes else f"{s}s"
