"""From a config to its networks and the ports around them: all that drawing and training share, and no data."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from dfjax import config as config_lib
from dfjax.core.registry import CODECS, CONDITIONERS, DENOISERS, OBJECTIVES
from dfjax.inputs import conditioning
from dfjax.inputs.spec import Inputs, Spec
from dfjax.models.denoiser import Denoiser, NetworkInputs, Params
from dfjax.models.layout import ONE_DEVICE, Layout
from dfjax.objective import port
from dfjax.objective import process as process_lib


@dataclasses.dataclass(frozen=True)
class Network:
    """A denoiser without its parameters, what a batch is to it, and what is minimised."""

    config: config_lib.Config
    denoiser: Denoiser
    inputs: Inputs
    objective: port.Objective

    @functools.cached_property
    def process(self) -> process_lib.Process:
        """Schedule, prediction, loss weight and density of t."""
        return process_lib.make(self.config.diffusion)

    def bound(
        self, params: Params, *, denoiser: Denoiser | None = None, own: Params, frozen: Any, ema: Params | None = None
    ) -> port.Networks:
        """The networks with parameters, as an objective calls them. ``denoiser``: the same one, whose arrays lie
        otherwise."""
        inputs = self.inputs
        return port.Networks(denoiser or self.denoiser, params, inputs.codec, inputs.conditioner, own, frozen, ema)

    def init(self, key: jax.Array) -> Params:
        """All that is trained: the denoiser's random parameters, and the objective's own."""
        own = self.objective.init(jax.random.fold_in(key, 1))
        return port.joined(self.denoiser.init(key), own)

    def abstract_params(self) -> Params:
        """The shapes and types of all that is trained."""
        own = jax.eval_shape(lambda: self.objective.init(jax.random.key(0)))
        return port.joined(self.denoiser.abstract_params(), own)


def make(
    config: config_lib.Config,
    *,
    saved: bytes | None = None,
    captions: Iterable[str] | None = None,
    columns: Spec | None = None,
    layout: Layout = ONE_DEVICE,
    denoiser: Callable | None = None,
    objective: port.Objective | None = None,
) -> Network:
    """The networks that a config names.

    Args:
      saved: the conditioner's state out of a checkpoint. captions: what it learns from, where there is none; with
        neither, sizes alone are right, as for a plan.
      columns: extra columns of the source, by name, without the batch axis.
      layout: how the denoiser's arrays lie on devices.
      denoiser, objective: your own, in place of the registered ones that the config names; a denoiser is what
        ``DENOISERS`` holds: ``(model, inputs, layout, rngs) -> nnx.Module``.

    Raises:
      ConfigError: what the config names cannot work, alone or together.
    """
    conditioner = CONDITIONERS[conditioner_name(config)](config, saved, captions)
    inputs = Inputs(CODECS[codec_name(config)](config), conditioner, dict(columns or {}))
    return Network(
        config,
        Denoiser.make(
            functools.partial(denoiser or DENOISERS[config.model.name], sizes(config), network_inputs(inputs)),
            network_inputs(inputs),
            layout,
        ),
        inputs,
        objective or OBJECTIVES[config.train.objective](config),
    )


def codec_name(config: config_lib.Config) -> str:
    """The registered codec that the config means: latents where it has channels of them, unless data.codec says one."""
    if config.data.codec != "auto":
        return config.data.codec
    return "latents" if config.data.latent_channels else "identity"


def conditioner_name(config: config_lib.Config) -> str:
    """The registered conditioner that the config means: features where it has channels of them, unless it names one."""
    if config.text.conditioner != "auto":
        return config.text.conditioner
    return "features" if config.text.features else "tokens"


def network_inputs(inputs: Inputs) -> NetworkInputs:
    """What a denoiser has to know of its inputs."""
    told = conditioning.specified(inputs.conditioner)
    return NetworkInputs(shape=inputs.codec.shape, caption=told, vocab_size=inputs.conditioner.vocab_size)
