"""Files with a JSON object a line, as a run writes them: what is cut, damaged or none of ours is passed over."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfjax.checkpoint.store import CheckpointError

# No line of ours is nearly as long.
_LONGEST = 2**20
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, in order; none where there is no file.

    Raises:
      CheckpointError: the file is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(found, dict):
                    yield found
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def number(value: Any) -> float | None:
    """A number, or ``"nan"``, ``"inf"`` and ``"-inf"``, which JSON has no numbers for; None for anything else."""
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
