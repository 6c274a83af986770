"""Pictures of a run for the page: sample grids and denoising strips by checkpoint, and nearest training pictures."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dfjax.core import jsonl
from dfjax.report import sheets
from dfjax.report.run import Run

# Of so many checkpoints pictures are shown, evenly spread, or of fewer where they would take more bytes than this.
_MOST, _BYTES = 24, 6_000_000
_MOST_NEAREST = 12
# What training draws has so many pictures a prompt.
_SAMPLES_PER_PROMPT = 4
# Characters of a prompt or caption.
_LONGEST = 500

_Found = TypeVar("_Found")


@dataclasses.dataclass(frozen=True)
class Frames:
    """Sheets by step, of which ``left_out`` were not taken; ``prompts`` of their rows, as far as they are known.

    ``source``: the folder they come from, below the run's.
    """

    source: str
    prompts: list[str]
    steps: list[int]
    sheets: list[sheets.Sheet]
    left_out: int = 0


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """A drawn picture: its prompt, its distance to the nearest training picture, and captions of the nearest ones."""

    prompt: str
    distance: float | None
    captions: list[str]


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Drawn pictures in rows, each before its nearest training pictures."""

    step: int
    sheet: sheets.Sheet
    rows: list[Neighbours]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """All pictures of a run; None where it has none of a kind."""

    grid: Frames | None
    films: Frames | None
    nearest: list[Nearest]


def read(run: Run, share: float = 1.0) -> Pictures:
    """The pictures of ``run``. ``share``: how much of the page's bytes it may take, above 0 and up to 1."""
    source = _source(run)
    folder = run.path / source
    said = _object(folder / "grids" / "prompts.json")
    # Without evaluation's grids, those that training draws, whose prompts are the config's.
    prompts = _texts(said.get("prompts", run.config.get("sample.prompts")))
    side = _size(said.get("resolution")) or _size(run.config.get("data.resolution"))
    allowed = int(_BYTES * share)
    grid = _frames(run.path, f"{source}/grids", prompts, side, _size(said.get("seeds")), allowed)
    # Strips may be of the first prompts only.
    films = _frames(run.path, f"{source}/films", prompts, side, None, allowed, rows_known=False)
    if grid is None:
        own_prompts = _texts(run.config.get("sample.prompts"))
        grid = _frames(run.path, "samples", own_prompts, side, _SAMPLES_PER_PROMPT, allowed)
    return Pictures(grid, films, _nearest(folder / "nearest", side, allowed))


def _source(run: Run) -> str:
    """The folder of evaluation's pictures: of what was drawn as the run would, or else as its figures were."""
    others = (f"eval/{settings}" for settings in run.measured.settings.values() if settings.isalnum())
    return next((each for each in ("eval", *others) if (run.path / each / "grids").is_dir()), "eval")


def _frames(
    path: Path,
    source: str,
    prompts: list[str],
    side: int | None,
    columns: int | None,
    allowed: int,
    rows_known: bool = True,
) -> Frames | None:
    rows = len(prompts) or None if rows_known else None
    steps = _steps(path / source, ".png")

    def load(step: int) -> sheets.Sheet | None:
        return sheets.load(path / source / f"step_{step}.png", side, rows, columns)

    taken = _taken(steps, load, lambda sheet: len(sheet.uri), allowed)
    if not taken:
        return None
    return Frames(source, prompts, list(taken), list(taken.values()), len(steps) - len(taken))


def _taken(
    steps: Sequence[int], load: Callable[[int], _Found | None], size: Callable[[_Found], int], allowed: int
) -> dict[int, _Found]:
    """What ``load`` gives for steps spread evenly from the first to the last, as many as are allowed; not None."""
    if not steps:
        return {}
    ends = {step: load(step) for step in (steps[0], steps[-1])}
    largest = max([1, *(size(found) for found in ends.values() if found is not None)])
    count = min(len(steps), _MOST, max(2, allowed // largest))
    spread = sorted({round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)})
    found = {steps[i]: ends[steps[i]] if steps[i] in ends else load(steps[i]) for i in spread}
    return {step: each for step, each in found.items() if each is not None}


def _steps(folder: Path, suffix: str) -> list[int]:
    """Steps that a folder has a file ``step_N`` of, rising."""
    names = [path.name[len("step_") : -len(suffix)] for path in folder.glob(f"step_*{suffix}")]
    return sorted({int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 16})


def _nearest(folder: Path, side: int | None, allowed: int) -> list[Nearest]:
    def load(step: int) -> Nearest | None:
        rows = [_neighbours(each) for each in _list(folder / f"step_{step}.json")]
        sheet = sheets.load(folder / f"step_{step}.png", side, len(rows) or None)
        return Nearest(step, sheet, rows[:_MOST_NEAREST]) if sheet else None

    return list(_taken(_steps(folder, ".png"), load, lambda found: len(found.sheet.uri), allowed).values())


def _neighbours(said: Any) -> Neighbours:
    said = said if isinstance(said, dict) else {}
    distance = said.get("distance")
    distance = distance[0] if isinstance(distance, list) and distance else distance
    known = jsonl.number(distance)
    return Neighbours(
        prompt=_text(said.get("prompt", "")),
        distance=known if known is not None and math.isfinite(known) else None,
        captions=_texts(said.get("neighbours")),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _object(path: Path) -> dict[str, Any]:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _list(path: Path) -> list[Any]:
    found = _json(path)
    return found if isinstance(found, list) else []


def _texts(value: Any) -> list[str]:
    return [_text(each) for each in value] if isinstance(value, list | tuple) else []


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return "?"
    return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"


def _size(value: Any) -> int | None:
    found = jsonl.step(value)
    return found if found and found <= 2**16 else None
