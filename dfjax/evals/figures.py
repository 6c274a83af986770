"""What an evaluator says: a name, a value, and how sure it is."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure.

    ``stderr``: its standard error, None where there is none to be had. ``num_images``: of how many drawn (or real)
    pictures it was measured. ``better``: whether ``lower``, ``higher`` or ``neither`` is better; empty: as its name
    says, see :mod:`dfjax.report.best`.
    """

    name: str
    value: float
    stderr: float | None
    num_images: int
    better: Literal["", "lower", "higher", "neither"] = ""


@dataclasses.dataclass(frozen=True)
class Measure:
    """An evaluator, ready: call it with a subject for its figures.

    ``uses``: a hash of what they depend on besides what all evaluators do: networks by their weights, data by its
    content.
    """

    figures: Callable[[Any], Iterator[Figure]]
    uses: str

    def __call__(self, subject: Any) -> Iterator[Figure]:
        return self.figures(subject)
