"""Names of your own for what a config chooses by name: ``dfjax.register.sampler("mine", thing)``, or as a decorator.

What is registered by a recipe or a notebook is found by the config, by ``--help`` and by every command that is given
that recipe. Registering a name anew replaces what was there; dfjax's own names stay dfjax's. Each registry's docstring
below says what a thing of its kind is.
"""

from collections.abc import Callable
from typing import Any

from dfjax.core import registry

# (model, inputs, layout, rngs) -> an nnx.Module that maps (z, t, condition) to a prediction of z's shape; see
# ``dfjax/models/denoiser.py`` for model and inputs.
denoiser = registry.DENOISERS.register
# (config) -> a dfjax.Codec.
codec = registry.CODECS.register
# (config, saved bytes or None, captions to learn from or None) -> a dfjax.Conditioner.
conditioner = registry.CONDITIONERS.register
# (config) -> a dfjax.Objective.
objective = registry.OBJECTIVES.register
# () -> a dfjax.Schedule.
schedule = registry.SCHEDULES.register
# A dfjax.Prediction.
prediction = registry.PREDICTIONS.register
# (u, settings, schedule) -> levels t in [0, 1]; see ``dfjax/diffusion/timesteps.py``.
timesteps = registry.TIMESTEPS.register
# (weighting, alpha, sigma) -> sigma^2 times the weight of the x0 error; see ``dfjax/diffusion/weighting.py``.
loss = registry.LOSSES.register
# (schedule, steps, ends) -> times from 1 to 0, float64 [steps + 1].
grid = registry.GRIDS.register
# (conditional, other, scale) -> the guided estimate.
guidance = registry.GUIDANCE.register
# (data section, split) -> a dfjax.Source.
source = registry.SOURCES.register
# (config, network) -> an optax.GradientTransformation of all that is trained.
optimizer = registry.OPTIMIZERS.register
# A module or object with make(bench, model) and has_ceiling(bench); see ``dfjax/evals/evaluators``.
evaluator = registry.EVALUATORS.register
# A dfjax.pretrained.features.Network.
features = registry.FEATURES.register


def sampler(name: str, make: Callable | None = None, *, option: str = "", default: float = 0.0) -> Any:
    """A sampler: ``make(levels, schedule, value)`` gives its table, a dfjax.Multistep or a dfjax.TwoCalls.

    ``levels`` has the grid's t, alpha and sigma, float64 [steps + 1], from the most noise to the clean picture.

    Args:
      option: the one number that it takes as ``value``, ``eta`` or ``churn``; empty: none. default: that number's.

    Raises:
      RegistryError: dfjax has a sampler of that name.
    """
    from dfjax.diffusion.samplers import Sampler

    if make is None:
        return lambda make: sampler(name, make, option=option, default=default)
    registry.SAMPLERS.register(name, Sampler(make, option, default))
    return make
