"""What is minimised: per-example losses of networks over batches."""

from dfjax.core.registry import OBJECTIVES

OBJECTIVES.later("diffusion", "dfjax.objective.diffusion:make")
