"""The evaluators by the names that eval.evaluators takes. A new one is a module here, an entry, and a choice there.

Each module has ``make(bench, model)``, which makes what all checkpoints share and raises a DfjaxError where something
is missing, and returns a Measure; and ``has_ceiling(bench)``: whether it has
something to say of real held-out pictures too.
"""

from types import ModuleType

from dfjax.evals.evaluators import alignment, clip, distances, heldout, lpips, memory, validation

EVALUATORS: dict[str, ModuleType] = {
    "validation": validation,
    "distances": distances,
    "alignment": alignment,
    "memory": memory,
    "heldout": heldout,
    "clip": clip,
    "lpips": lpips,
}
