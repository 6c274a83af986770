"""``SWEEP/sweep.jsonl``: what is run, written whole before anything starts, and never another after that.

The first line is the header: ``config`` (the recipe's path), ``overrides`` (words of ``dfjax train`` that all runs
share), ``base`` (what the config without a line's overrides has besides the schema's defaults) and ``is_search``. Then
one line a run: ``line``, ``name``, ``steps`` and ``overrides``. A search adds lines as its trials come.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfjax import config as config_lib
from dfjax.checkpoint import lock
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import jsonl, storage
from dfjax.launching.errors import JobError
from dfjax.sweeps.lines import Line

NAME = "sweep.jsonl"
# Differences that are named of many.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Header:
    """What the runs of a sweep share: the recipe, words of ``dfjax train``, and the config without their overrides."""

    config: str
    overrides: tuple[str, ...]
    base: config_lib.Config
    is_search: bool = False


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep as it is frozen in its folder."""

    folder: Path
    header: Header
    lines: list[Line]

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def line(self, number: int) -> Line:
        """Raises JobError if there is no such line."""
        if not 1 <= number <= len(self.lines):
            raise JobError(f"{self.path} has no line {number}: it has lines 1 to {len(self.lines)}")
        return self.lines[number - 1]

    def workdir(self, line: Line) -> Workdir:
        """The work directory of a line's run."""
        return Workdir(self.folder / line.name)

    def words(self, line: Line) -> tuple[str, ...]:
        """The words of ``dfjax train`` for a line, the line's own last, as they are to win."""
        workdir = self.folder / line.name
        return (f"--config={self.header.config}", f"--workdir={workdir}", *self.header.overrides, *line.words)

    def add(self, line: Line) -> "Sweep":
        """The sweep with one line more, written."""
        return write(dataclasses.replace(self, lines=[*self.lines, line]))


def freeze(folder: Path, header: Header, lines: Sequence[Line]) -> Sweep:
    """Write the sweep, or find that the same is there already. Only for who holds the lock of the folder.

    Raises:
      JobError: see :func:`check`.
    """
    sweep = check(folder, header, lines)
    folder.mkdir(parents=True, exist_ok=True)
    # Engines read it here: where the recipe is now, and keys that a run may go on with changed, such as data.dir.
    return sweep if sweep.path.exists() and read(folder).header == header else write(sweep)


def check(folder: Path, header: Header, lines: Sequence[Line]) -> Sweep:
    """The sweep as it would be written, with the lines that are there already; writes nothing.

    Raises:
      JobError: the folder has another sweep, with what differs; or it has something else.
    """
    wanted = Sweep(folder, header, list(lines))
    if not wanted.path.exists():
        check_free(folder)
        return wanted
    there = read(folder)
    if changes := differences(there, wanted):
        more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
        raise JobError(
            f"{folder} has another sweep: {'; '.join(changes[:_NAMED])}{more}. Give the recipe and the flags that it "
            "was started with, or choose another --workdir"
        )
    return dataclasses.replace(there, header=header)


def check_free(folder: Path) -> None:
    """Raise JobError where a sweep would get among files that are none of it."""
    if folder.exists() and not folder.is_dir():
        raise JobError(f"{folder} is a file and no folder: choose another --workdir")
    passing = {lock.NAME, Workdir(folder).launch.name, storage.part(folder / NAME).name}
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} - passing:
        raise JobError(f"{folder} is not empty and has no {NAME}, so it is no sweep: choose another --workdir")


def differences(there: Sweep, wanted: Sweep) -> list[str]:
    """In what a sweep differs from the one that is there, in a few words each; in what a run may not go on with."""
    if there.header.is_search != wanted.header.is_search:
        return ["it was started " + ("with --search" if there.header.is_search else "without --search")]
    found = config_lib.changes_that_break_resume(there.header.base, wanted.header.base)
    if wanted.header.is_search:
        return found
    if len(there.lines) != len(wanted.lines):
        found.append(f"{len(there.lines)} lines -> {len(wanted.lines)}")
    for old_line, new_line in zip(there.lines, wanted.lines, strict=False):
        if (old_line.overrides, old_line.steps) != (new_line.overrides, new_line.steps):
            found.append(f"line {old_line.number}: {_said(old_line)} -> {_said(new_line)}")
    return found


def _said(line: Line) -> str:
    return " ".join(line.words).replace("--config.", "")[:100] or "no overrides"


def write(sweep: Sweep) -> Sweep:
    """Write ``sweep.jsonl`` in one rename. Returns the sweep."""
    storage.replace(sweep.path, text(sweep).encode())
    return sweep


def text(sweep: Sweep) -> str:
    """What ``sweep.jsonl`` has."""
    defaults = config_lib.Config().to_dict()
    base = {
        f"{section}.{name}": value
        for section, keys in sweep.header.base.to_dict().items()
        for name, value in keys.items()
        if value != defaults[section][name]
    }
    header = {"config": sweep.header.config, "overrides": sweep.header.overrides, "base": base}
    rows: list[dict[str, Any]] = [header | {"is_search": sweep.header.is_search}]
    rows += [
        {"line": line.number, "name": line.name, "steps": line.steps, "overrides": line.overrides}
        for line in sweep.lines
    ]
    return jsonl.encoded(rows).decode()


def read(folder: Path) -> Sweep:
    """The sweep of a folder. Raises JobError if it has none, or one that is damaged."""
    path = folder / NAME
    try:
        found = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise JobError(
            f"{folder} has no {NAME}, so it is no sweep: `dfjax sweep --config=RECIPE --workdir={folder}` starts one"
        ) from None
    except NotADirectoryError:
        raise JobError(f"{folder} is a file and no folder: name the --workdir of a sweep") from None
    try:
        rows = [row for line in found if (row := jsonl.parse(line)) is not None]
        if len(rows) < len(found):
            raise ValueError("not each of its lines is a JSON object")
        header = _header(rows[0])
        lines = [_line(number, row, header.base) for number, row in enumerate(rows[1:], 1)]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return Sweep(folder, header, lines)


def _header(row: dict[str, Any]) -> Header:
    base = config_lib.Config().with_(row["base"])
    return Header(str(row["config"]), tuple(map(str, row["overrides"])), base, row["is_search"])


def _line(number: int, row: dict[str, Any], base: config_lib.Config) -> Line:
    name = row["name"]
    # It becomes a path below the folder of the sweep.
    if row["line"] != number or not isinstance(name, str) or Path(name).name != name or name.startswith("."):
        raise ValueError(f"its line {number} is none of a sweep")
    overrides = {str(key): tuple(v) if isinstance(v, list) else v for key, v in row["overrides"].items()}
    return Line(number, name, overrides, int(row["steps"]))


def _damaged(path: Path, error: Exception) -> JobError:
    return JobError(
        f"{path} is damaged ({error}): put back the file that the sweep was started with, or choose another --workdir"
    )
