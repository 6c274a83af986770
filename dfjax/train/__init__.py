"""Training: state, optimizer, step and loop."""

from dfjax.core.registry import OPTIMIZERS

OPTIMIZERS.later("adamw", "dfjax.train.optim:_adamw")
OPTIMIZERS.later("adafactor", "dfjax.train.optim:_adafactor")
OPTIMIZERS.later("lion", "dfjax.train.optim:_lion")
OPTIMIZERS.later("muon", "dfjax.train.optim:_muon")
