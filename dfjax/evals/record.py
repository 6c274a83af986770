"""``RUN/eval/metrics.jsonl``: a line a figure, and what has been measured already."""

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dfjax.core import jsonl
from dfjax.evals.figures import Figure

_NEEDED = {"step", "name", "value", "evaluator", "settings", "split"}


@dataclasses.dataclass(frozen=True)
class Key:
    """What one evaluator says at once: of a step, and of all that its figures depend on.

    Attributes:
      split: of which captions; ``real``: of real held-out pictures.
      settings: a hash of what all evaluators depend on. uses: one of what this evaluator depends on besides.
      attempt: how often the run had gone back: then a step has other weights.
    """

    step: int
    evaluator: str
    split: str
    settings: str
    uses: str
    attempt: int = 0


class Record:
    """The figures of one run. What one evaluator says of one step is there whole or not at all, however one is killed.

    A line has ``step``, ``name``, ``value``, ``stderr``, ``num_images``, what else :class:`Key` has, ``figures`` (how
    many lines it came with) and ``time``, and ``better`` where the name does not say it. An evaluator that could say
    nothing has one line, whose name is null.
    """

    def __init__(self, path: Path):
        """The file, and its folder, are made with the first figures."""
        self._path = path

    def lines(self) -> list[dict[str, Any]]:
        """All figures, in order. What is no line of ours is passed over."""
        return [line for line in self._objects() if line.keys() >= _NEEDED and line["name"] is not None]

    def has(self, key: Key) -> bool:
        """Whether all is there that was said at once."""
        wanted = dataclasses.asdict(key)
        said = [line for line in self._objects() if wanted.items() <= line.items()]
        return bool(said) and len(said) >= (said[-1].get("figures") or 1)

    def add(self, key: Key, figures: Iterable[Figure]) -> list[dict[str, Any]]:
        """Write what an evaluator said of a step, in one rename. Returns its lines."""
        figures = list(figures)
        shared = dataclasses.asdict(key) | {"figures": len(figures), "time": round(time.time(), 3)}
        said = [
            {
                "step": key.step,
                "name": figure.name,
                "value": jsonl.plain(figure.value),
                "stderr": None if figure.stderr is None else jsonl.plain(figure.stderr),
                "num_images": figure.num_images,
            }
            | ({"better": figure.better} if figure.better else {})
            | shared
            for figure in figures
        ]
        nothing = [{"step": key.step, "name": None, "value": None} | shared]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(self._path, self._objects() + (said or nothing))
        return said

    def _objects(self) -> list[dict[str, Any]]:
        """Every line that is a JSON object, ours or not: only what was cut short is lost with the next write."""
        return list(jsonl.read(self._path))
