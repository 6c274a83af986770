"""Training: state, optimizer, step and loop."""

from dfjax.core.registry import OPTIMIZERS

OPTIMIZERS.later("adamw", "dfjax.training.optim:_adamw")
OPTIMIZERS.later("adafactor", "dfjax.training.optim:_adafactor")
OPTIMIZERS.later("lion", "dfjax.training.optim:_lion")
OPTIMIZERS.later("muon", "dfjax.training.optim:_muon")
