"""The evaluators by the names that eval.evaluators takes. A new one is a module here, an entry, and a choice there.

Each module has ``make(bench, model)``, which makes what all checkpoints share and raises a DfjaxError where something
is missing, and returns a function from a subject to figures; and ``HAS_CEILING``: whether that function measures real
held-out pictures too.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from dfjax.evals.bench import Bench, Model
from dfjax.evals.evaluators import alignment, clip, distances, heldout, memory, validation
from dfjax.evals.figures import Figure
from dfjax.evals.subject import Subject

Measure = Callable[[Subject], Iterator[Figure]]


class Evaluator(Protocol):
    """What each of the modules is."""

    HAS_CEILING: bool

    def make(self, bench: Bench, model: Model) -> Measure: ...


EVALUATORS: dict[str, Evaluator] = {
    "validation": validation,
    "distances": distances,
    "alignment": alignment,
    "memory": memory,
    "heldout": heldout,
    "clip": clip,
}
