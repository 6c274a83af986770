"""What a run says of itself: scalars and pictures to TensorBoard, log lines and ``metrics.jsonl``, and its progress."""

import contextlib
import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import metric_writers

from dfjax.checkpoint.workdir import Workdir
from dfjax.train.speed import Speed

_log = logging.getLogger(__name__)


class JsonLines(metric_writers.MetricWriter):
    """Scalars as lines ``{"step", "time", name: value, ...}`` of a file; other kinds are left to TensorBoard."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        # NaN and infinity are no JSON numbers.
        values = {k: float(v) if math.isfinite(float(v)) else str(float(v)) for k, v in scalars.items()}
        self._file.write(json.dumps({"step": int(step), "time": round(time.time(), 3), **values}) + "\n")
        self._file.flush()

    def write_summaries(self, *_, **__) -> None: ...
    def write_images(self, *_, **__) -> None: ...
    def write_videos(self, *_, **__) -> None: ...
    def write_audios(self, *_, **__) -> None: ...
    def write_texts(self, *_, **__) -> None: ...
    def write_histograms(self, *_, **__) -> None: ...
    def write_pointcloud(self, *_, **__) -> None: ...
    def write_hparams(self, *_, **__) -> None: ...

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of a file of steps past ``step``, which a resumed run will write again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            # A line that was cut by a kill.
            continue
    replace(path, kept)


def replace(path: Path, lines: list[str]) -> None:
    """Write a file anew, by rename: a kill leaves the old one or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    part.replace(path)


def writer(room: Workdir) -> metric_writers.MetricWriter:
    """clu's writers (TensorBoard event files, log lines) and :class:`JsonLines`; only the first process writes."""
    first = jax.process_index() == 0
    standard = metric_writers.create_default_writer(room.path, just_logging=not first)
    return metric_writers.MultiWriter([standard, JsonLines(room.metrics)]) if first else standard


class Progress:
    """A line every so many steps: step, loss, images/s and the time left; and the scalars behind it."""

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
        _log.info(
            "step %d/%d  loss %.4f  %.1f images/s%s  left %s",
            step,
            self._total,
            means["loss"],
            rate,
            mfu,
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


class Ledger:
    """``bad_records.jsonl``: each record that was replaced, once, with the reason; and how many there are."""

    def __init__(self, path: Path):
        self._path = path
        self._known = set()
        if path.exists():
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                # The last line was cut by a kill: the next one must not go on in it.
                path.write_text(text + "\n", encoding="utf-8")
            for line in text.splitlines():
                try:
                    self._known.add(json.loads(line)["id"])
                except (ValueError, KeyError, TypeError):
                    continue

    def __len__(self) -> int:
        return len(self._known)

    def add(self, bad: list[tuple[str, str]]) -> None:
        for record, reason in bad:
            if record not in self._known:
                self._known.add(record)
                _log.warning("record %s was replaced: %s (listed in %s)", record, reason, self._path)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": record, "reason": reason}) + "\n")
