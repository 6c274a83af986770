"""What one work directory says of its run."""

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfjax.checkpoint.store import CheckpointError
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import jsonl
from dfjax.report import best, curves, differences, measured
from dfjax.report.measured import Point


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as it is on disk.

    Attributes:
      name: what tells it from the others of a page. config: by full key, as it was saved; empty if it cannot be read.
      step: the newest that anything tells of. num_steps: those of the whole run; None: unknown, as for the others.
      train_seconds: of the newest checkpoint: steps, validation and saving, over all resumes.
      checkpoints: steps that can be loaded now. curves: of training, by name. last_time: Unix seconds of its last line.
    """

    name: str
    path: Path
    config: dict[str, Any]
    step: int
    num_steps: int | None
    batch_size: int | None
    parameters: int | None
    train_seconds: float | None
    checkpoints: list[int]
    curves: dict[str, curves.Curve]
    measured: measured.Measured
    last_time: float | None

    @property
    def is_finished(self) -> bool:
        return self.num_steps is not None and bool(self.checkpoints) and self.checkpoints[-1] >= self.num_steps

    @property
    def images_seen(self) -> int | None:
        return None if self.batch_size is None else self.step * self.batch_size

    @property
    def points(self) -> dict[tuple[str, str], list[Point]]:
        """All figures of checkpoints by (name, split): those of evaluation, and training's own validation loss."""
        found = dict(self.measured.points)
        if own := self.curves.get(best.FALLBACK):
            found[best.FALLBACK, ""] = [Point(s, v) for s, v in zip(own.steps, own.values, strict=True)]
        return found


def read(path: Path, name: str = "") -> Run:
    """Read a work directory. ``name``: by default the folder's.

    Raises:
      CheckpointError: it is no run's, or a file cannot be read.
    """
    workdir = Workdir(path)
    _require(workdir)
    config, found = differences.read(workdir.config), curves.read(workdir.metrics)
    whole = [step for step in workdir.steps() if not workdir.incomplete(step)]
    figures = measured.read(workdir.path / "eval" / "metrics.jsonl")
    steps = [curve.steps[-1] for curve in found.values()]
    steps += [points[-1].step for points in figures.points.values()]
    times = [curve.times[-1] for curve in found.values() if math.isfinite(curve.times[-1])]
    return Run(
        name=name or path.resolve().name,
        path=path,
        config=config,
        step=max([0, *whole, *steps]),
        num_steps=_positive(config.get("train.num_steps")),
        batch_size=_positive(config.get("train.batch_size")),
        parameters=_parameters(workdir.path / "parameters.txt"),
        train_seconds=_train_seconds(workdir, whole),
        checkpoints=whole,
        curves=found,
        measured=figures,
        last_time=max(times, default=None),
    )


def read_all(paths: Sequence[Path]) -> list[Run]:
    """Read several, each once. Their names are the ends of their paths by which they differ."""
    unique = list({path.resolve(): path for path in paths}.values())
    whole = [path.resolve().parts for path in unique]
    for length in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(names):
            break
    return [read(path, name) for path, name in zip(unique, names, strict=True)]


def _require(workdir: Workdir) -> None:
    if not workdir.path.exists():
        raise CheckpointError(f"there is no folder {workdir.path}: name the --workdir of a run that was started")
    found, _ = workdir.inspect()
    if found in (Found.FOREIGN, Found.NEW):
        why = "holds no run yet" if found is Found.NEW else "is no run of dfjax that this version can read"
        raise CheckpointError(f"{workdir.path} {why}: name the --workdir of a run that was started")


def _positive(value: Any) -> int | None:
    return jsonl.step(value) or None


def _parameters(path: Path) -> int | None:
    """The total at the end of the table that training writes."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    total = re.findall(r"^Total: ([\d,]{1,20})", text, re.MULTILINE)
    return int(total[-1].replace(",", "")) if total and total[-1].strip(",") else None


def _train_seconds(workdir: Workdir, steps: Sequence[int]) -> float | None:
    """What the newest checkpoint says; its JSON is read as it is, without Orbax."""
    if not steps:
        return None
    with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError):
        meta = json.loads((workdir.checkpoints / f"step_{steps[-1]}" / "meta" / "metadata").read_bytes())
        found = jsonl.number(meta.get("train_seconds"))
        return found if found is not None and 0 <= found < math.inf else None
    return None
