"""The evaluators by the names that eval.evaluators takes. A new one is a module here, and a line below.

Each has ``make(bench, model)``, which makes what all checkpoints share, raises a DfjaxError where something is
missing, and returns a :class:`dfjax.evals.figures.Measure`; and ``has_ceiling(bench)``: whether it has something to say
of real held-out pictures too.
"""

from dfjax.core.registry import EVALUATORS

for _name in ("validation", "distances", "alignment", "memory", "heldout", "clip", "lpips"):
    EVALUATORS.later(_name, f"{__name__}.{_name}")
