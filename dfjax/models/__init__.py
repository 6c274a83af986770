"""Denoisers as NNX modules that know nothing of meshes, data or training."""

from dfjax.core.registry import DENOISERS

DENOISERS.later("transformer", "dfjax.models.transformer:build")
DENOISERS.later("mmdit", "dfjax.models.mmdit:build")
