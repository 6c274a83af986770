"""Figures of ``RUN/eval/metrics.jsonl``: by name, split and checkpoint, and those of real pictures."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dfjax.evals.report import lines

# The split under which figures of real held-out pictures are written: what a perfect model would reach.
REAL = "real"


@dataclasses.dataclass(frozen=True)
class Point:
    """A figure at a checkpoint; None for what nobody said. ``attempt``: how often the run had gone back before it."""

    step: int
    value: float
    stderr: float | None = None
    num_images: int | None = None
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Measured:
    """Points by (name, split), steps rising; ``real``: by name, without a step that means anything.

    ``left_out``: how many figures were measured in another way than the others of their name.
    """

    points: dict[tuple[str, str], list[Point]]
    real: dict[str, Point]
    left_out: int = 0


def read(path: Path) -> Measured:
    """All figures of a file. Of two of one name, split and step the later wins, and where the run went back to an
    earlier step, those of later steps from before that are dropped.

    Figures that were measured with other settings do not belong on one curve: of each name and split those of the
    settings with the most checkpoints count, or of the later ones of two.
    """
    by_settings: dict[tuple[str, str], dict[str, dict[int, Point]]] = collections.defaultdict(dict)
    real: dict[str, Point] = {}
    for line in lines.read(path):
        name, split, point = line.get("name"), line.get("split"), _point(line)
        if not isinstance(name, str) or point is None:
            continue
        if split == REAL:
            real[name] = point
            continue
        ways = by_settings[name, split if isinstance(split, str) else ""]
        said = line.get("settings")
        settings = said if isinstance(said, str) else ""
        # Taken out and put in again, so that the way that was used last is the last.
        ways[settings] = ways.pop(settings, {}) | {point.step: point}
    points, left_out = {}, 0
    for key, ways in by_settings.items():
        chosen = max(reversed(ways.values()), key=len)
        points[key] = list(_of_what_came_of_it([chosen[step] for step in sorted(chosen)]))
        left_out += sum(len(way) for way in ways.values()) - len(chosen)
    return Measured(points, real, left_out)


def _of_what_came_of_it(points: Sequence[Point]) -> Iterator[Point]:
    """Without those that a run left behind when it went back: of earlier attempts, past a step of a later one."""
    newest = 0
    for point in points:
        newest = max(newest, point.attempt)
        if point.attempt == newest:
            yield point


def _point(line: dict[str, Any]) -> Point | None:
    value = lines.number(line.get("value"))
    step = lines.step(line.get("step"))
    if line.get("split") == REAL and step is None:
        step = 0
    if value is None or step is None:
        return None
    stderr, count = lines.number(line.get("stderr")), lines.step(line.get("num_images"))
    attempt = lines.step(line.get("attempt")) or 0
    return Point(step, value, stderr if stderr is not None and 0 <= stderr < float("inf") else None, count, attempt)
