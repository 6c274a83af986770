"""Figures of ``RUN/eval/metrics.jsonl``: by name, split and checkpoint, and those of real pictures."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from dfjax.core import jsonl

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
    """Points by (name, split), steps rising; ``real``: alike, of real pictures, whose step means nothing.

    ``settings``: by split, the settings that they were all measured with. ``left_out``: how many figures of checkpoints
    were measured in another way. ``better``: by name, which way is better, where the evaluator says so.
    """

    points: dict[tuple[str, str], list[Point]]
    real: dict[tuple[str, str], Point]
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: int = 0
    better: dict[str, str] = dataclasses.field(default_factory=dict)


def read(path: Path) -> Measured:
    """All figures of a file. Of two of one name, split and step the later wins, and where the run went back to an
    earlier step, those of later steps from before that are dropped.

    Figures that were measured with other settings do not belong together: of each split those of the settings with the
    most checkpoints count, or of the later ones of two, and with them those of real pictures. What an evaluator uses
    besides (weights, say) is chosen alike, of each name.
    """
    better: dict[str, str] = {}
    steps: dict[str, dict[str, set[int]]] = {}
    told: dict[tuple[str, str, str], dict[str, dict[int, Point]]] = {}
    for line in jsonl.read(path):
        name, point = line.get("name"), _point(line)
        if not isinstance(name, str) or point is None:
            continue
        if way := _text(line.get("better")):
            better[name] = way
        split, settings, uses = (_text(line.get(key)) for key in ("split", "settings", "uses"))
        # Taken out and put in again, so that the way that was used last is the last.
        ways = told.setdefault((split, settings, name), {})
        ways[uses] = ways.pop(uses, {}) | {point.step: point}
        if split != REAL:
            seen = steps.setdefault(split, {})
            seen[settings] = seen.pop(settings, set()) | {point.step}
    chosen = {split: _most(ways) for split, ways in steps.items()}
    points, real, shown = {}, {}, 0
    for (split, settings, name), by_uses in told.items():
        if chosen.get(split) != settings:
            continue
        uses = _most(by_uses)
        points[name, split] = list(_of_what_came_of_it([by_uses[uses][step] for step in sorted(by_uses[uses])]))
        shown += len(by_uses[uses])
        if of_real := told.get((REAL, settings, name), {}).get(uses):
            real[name, split] = list(of_real.values())[-1]
    said = sum(len(points) for (split, *_), ways in told.items() if split != REAL for points in ways.values())
    return Measured(points, real, chosen, said - shown, better)


def _most(ways: Mapping[str, Sized]) -> str:
    """The way with the most checkpoints, the later one of two with as many."""
    return max(reversed(list(ways)), key=lambda way: len(ways[way]))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _of_what_came_of_it(points: Sequence[Point]) -> Iterator[Point]:
    """Without those that a run left behind when it went back: of earlier attempts, past a step of a later one."""
    newest = 0
    for point in points:
        newest = max(newest, point.attempt)
        if point.attempt == newest:
            yield point


def _point(line: dict[str, Any]) -> Point | None:
    value = jsonl.number(line.get("value"))
    step = jsonl.step(line.get("step"))
    if line.get("split") == REAL and step is None:
        step = 0
    if value is None or step is None:
        return None
    stderr, count = jsonl.number(line.get("stderr")), jsonl.step(line.get("num_images"))
    attempt = jsonl.step(line.get("attempt")) or 0
    return Point(step, value, stderr if stderr is not None and 0 <= stderr < float("inf") else None, count, attempt)
