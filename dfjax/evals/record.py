"""``RUN/eval/metrics.jsonl``: a line a figure, and what has been measured already."""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dfjax.core import storage
from dfjax.evals.figures import Figure


class Record:
    """The figures of one run. What one evaluator says of one step is there whole or not at all, however one is killed.

    A line has ``step``, ``name``, ``value``, ``stderr``, ``num_images``, ``split`` (of which captions; ``real``: of
    real held-out pictures), ``evaluator``, ``settings`` (a hash of what else it depends on), ``attempt`` (how often the
    run had gone back: then a step has other weights) and ``time``.
    """

    def __init__(self, path: Path):
        """The file, and its folder, are made with the first figures."""
        self._path = path

    def lines(self) -> list[dict[str, Any]]:
        """All that was said, in order. What is no line of ours is passed over."""
        found = []
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        for line in text.splitlines():
            try:
                said = json.loads(line)
                if {"step", "name", "value", "evaluator", "settings", "split"} <= said.keys():
                    found.append(said)
            except (ValueError, AttributeError):
                continue
        return found

    def has(self, step: int, evaluator: str, split: str, settings: str, attempt: int) -> bool:
        wanted = {"step": step, "evaluator": evaluator, "split": split, "settings": settings, "attempt": attempt}
        return any(wanted.items() <= line.items() for line in self.lines())

    def add(
        self, step: int, evaluator: str, split: str, settings: str, attempt: int, figures: Iterable[Figure]
    ) -> list[dict[str, Any]]:
        """Write what an evaluator said of a step, in one rename. Returns its lines."""
        said = [
            {
                "step": step,
                "name": figure.name,
                "value": _number(figure.value),
                "stderr": None if figure.stderr is None else _number(figure.stderr),
                "num_images": figure.num_images,
                "split": split,
                "evaluator": evaluator,
                "settings": settings,
                "attempt": attempt,
                "time": round(time.time(), 3),
            }
            for figure in figures
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in self.lines() + said)
        storage.replace(self._path, text.encode())
        return said


def _number(value: float) -> float | str:
    """NaN and infinity are no JSON numbers."""
    return float(value) if math.isfinite(value) else str(float(value))
