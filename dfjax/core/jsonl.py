"""Files with a JSON object a line: the one reader and writer of them.

What a kill cut, what is damaged and what is no object is passed over by readers, and gone after the next rewriting.
"""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dfjax.core import storage
from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)

# No line of ours is nearly as long.
_LONGEST = 2**24
# In the end of a file that is looked at from behind there is a whole line.
_TAIL = 2**16
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Object = dict[str, Any]


class LinesError(DfjaxError):
    """A file of lines that is there and cannot be read."""


class Lines:
    """Lines that are added to a file. What the storage does not take is kept, and comes before the next."""

    def __init__(self, path: Path):
        """The file is made with its first line."""
        self._path, self._left, self._is_told = path, b"", False

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line, or keep it for later."""
        self._left += encoded([line])
        self.flush()

    def flush(self) -> None:
        """Try again to write what is left."""
        if not self._left:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                while self._left:
                    # On a disk that fills up, less than all: the rest goes on where this ended.
                    self._left = self._left[file.write(self._left) :]
        except OSError as error:
            if not (fault := storage.fault(error)):
                raise
            if not self._is_told:
                _log.warning("%s waits to be written: %s", self._path, fault)
            self._is_told = True

    def close(self) -> None:
        """A last try."""
        self.flush()
        if self._left:
            _log.warning("the last %d bytes of %s could not be written", len(self._left), self._path)


def read(path: Path, *, containing: bytes = b"") -> Iterator[Object]:
    """The objects of a file, in order; none where there is no file.

    Args:
      containing: only lines with these bytes are looked at, which is quicker by far.

    Raises:
      LinesError: the file is there and cannot be read, or something else has its name.
    """
    if path.is_dir():
        raise LinesError(f"{path} is no file: move it away, and run the same command again")
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                if containing in line and (found := parse(line)) is not None:
                    yield found
    except FileNotFoundError:
        return
    except OSError as error:
        raise LinesError(f"{path} cannot be read: {error.strerror}") from error


def backwards(path: Path) -> Iterator[Object]:
    """The last objects of a file, the newest first. Only its end is read; none where it cannot be."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            end = file.read()
    except OSError:
        return
    yield from (found for line in reversed(end.splitlines()) if (found := parse(line)) is not None)


def write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write a file anew, by a rename: a kill leaves the old one or the new one. Raises OSError."""
    storage.replace(path, encoded(lines))


def forget_after(path: Path, step: int) -> None:
    """Drop the lines past ``step``, which a resumed run will write again, and those without a step.

    Raises:
      LinesError: as :func:`read` does.
    """
    if path.exists():
        write(path, [line for line in read(path) if type(line.get("step")) is int and line["step"] <= step])


def parse(line: bytes) -> Object | None:
    """The object of a line; None for anything else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def encoded(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """What a file of these lines holds."""
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def plain(value: float) -> float | str:
    """A number as a line has it: NaN and infinity are no JSON numbers."""
    return float(value) if math.isfinite(value) else str(float(value))


def number(value: Any) -> float | None:
    """What :func:`plain` was given; None for anything that it does not give."""
    if isinstance(value, str):
        return _NOT_FINITE.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def step(value: Any) -> int | None:
    """A training step, from 0; None for anything else."""
    found = None if isinstance(value, str) else number(value)
    return int(found) if found is not None and 0 <= found < 2**53 and found == int(found) else None
