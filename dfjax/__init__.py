"""dfjax: train text-to-image diffusion models in JAX. The names of ``__all__`` are stable; modules below are internal.

    config = dfjax.Config().with_({"model.width": 64, "train.num_steps": 50})
    run = dfjax.train(config, "runs/a", source=[(picture, "a red apple"), ...])
    pictures = run.sample(["a green banana"])

Nothing heavy is imported before it is used: ``import dfjax`` itself loads none of jax, flax or TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# The stable names, and where each comes from.
_PLACES = {
    "Config": "dfjax.config",
    "ConfigError": "dfjax.core.errors",
    "DfjaxError": "dfjax.core.errors",
    "Preempted": "dfjax.core.errors",
    "load": "dfjax.face",
    "train": "dfjax.face",
    "Run": "dfjax.face",
    "Sampler": "dfjax.sample.generate",
    "register": "dfjax.register",
    "Codec": "dfjax.inputs.codec",
    "Conditioner": "dfjax.inputs.conditioning",
    "Objective": "dfjax.objective.port",
    "Networks": "dfjax.objective.port",
    "Keys": "dfjax.objective.port",
    "Source": "dfjax.data.source",
    "Record": "dfjax.data.source",
    "Hook": "dfjax.training.hooks",
    "Prediction": "dfjax.diffusion.prediction",
    "Schedule": "dfjax.diffusion.schedule",
    "Multistep": "dfjax.diffusion.tables",
    "TwoCalls": "dfjax.diffusion.tables",
    "Figure": "dfjax.evals.figures",
    "Measure": "dfjax.evals.figures",
}
_MODULES = ("register",)

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"dfjax has no {name!r}; its stable names are {', '.join(__all__)}")
    module = importlib.import_module(_PLACES[name])
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
