"""What a recipe's ``sweep()`` is made of: combinations of values, as dicts of overrides.

    def sweep():
        rates = grid.log_uniform(1e-4, 1e-2, 5, seed=0)
        return grid.product({"optim.learning_rate": rates, "model.width": (64, 128)})

Keys are full config keys. Nothing heavy is imported here: importing a recipe stays quick.
"""

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dfjax.launching.errors import JobError

Overrides = dict[str, Any]
Axis = Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]]


def product(*axes: Axis) -> Iterator[Overrides]:
    """Every combination of the axes, the last one changing fastest.

    Args:
      axes: each a mapping from keys to their values, all of which are combined too; or dicts of overrides that belong
        together, such as those of :func:`zipped`.

    Raises:
      JobError: two axes set the same key, or a key has no values.
    """
    for combination in itertools.product(*(choices for axis in axes for choices in _choices(axis))):
        merged: Overrides = {}
        for overrides in combination:
            if twice := merged.keys() & overrides.keys():
                raise JobError(f"two axes of product() set {min(twice)!r}: give its values once")
            merged |= overrides
        yield merged


def zipped(values: Mapping[str, Sequence[Any]]) -> Iterator[Overrides]:
    """The first value of each key, then the second of each, and so on.

    Raises:
      JobError: the keys have not equally many values, or none.
    """
    rows = {key: _listed(key, each) for key, each in values.items()}
    if len({len(each) for each in rows.values()}) > 1:
        said = ", ".join(f"{key} {len(each)}" for key, each in rows.items())
        raise JobError(f"zipped() takes equally many values of each key, not {said}")
    for row in zip(*rows.values(), strict=True):
        yield dict(zip(rows, row, strict=True))


def log_uniform(low: float, high: float, count: int, seed: int) -> list[float]:
    """``count`` numbers from ``low`` to ``high`` (0 < low <= high) whose logarithms are uniform, in rising order.

    The same arguments give the same numbers, rounded to three digits.

    Raises:
      JobError: bounds or a count that cannot be.
    """
    if not 0 < low <= high < math.inf or count < 1:
        raise JobError(f"log_uniform takes 0 < low <= high and a count of at least 1, not {low}, {high} and {count}")
    draw = random.Random(seed)
    found = (math.exp(draw.uniform(math.log(low), math.log(high))) for _ in range(count))
    return sorted(min(max(float(f"{each:.3g}"), low), high) for each in found)


def _choices(axis: Axis) -> list[list[Overrides]]:
    """An axis as one or more lists of overrides, of each of which one is taken."""
    if isinstance(axis, Mapping):
        return [[{key: value} for value in _listed(key, values)] for key, values in axis.items()]
    return [[dict(overrides) for overrides in axis]]


def _listed(key: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise JobError(f"{key!r} takes several values, as in ({values!r},)")
    if not (found := list(values)):
        raise JobError(f"{key!r} has no values")
    return found
