"""Denoisers as NNX modules that know nothing of meshes, data or training."""

from dfjax.core.registry import DENOISERS

# Each has build(model, inputs, layout, rngs) and, where it says its work, work(model, inputs).
DENOISERS.later("transformer", "dfjax.models.transformer")
DENOISERS.later("mmdit", "dfjax.models.mmdit")
