"""From a config to its networks and the ports around them: all that drawing and training share, and no data."""

import dataclasses
import functools
import types
from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.core.registry import CODECS, CONDITIONERS, DENOISERS, OBJECTIVES
from dfjax.inputs import conditioning
from dfjax.inputs.spec import Inputs, Spec
from dfjax.models import parameters
from dfjax.models.denoiser import Denoiser, Params
from dfjax.models.inputs import NetworkInputs, Work
from dfjax.models.layout import ONE_DEVICE
from dfjax.objective import port
from dfjax.objective import process as process_lib
from dfjax.parallel import layout


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
        """The networks with parameters, as an objective calls them; ``denoiser`` is the same one lying otherwise."""
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

    @functools.cached_property
    def described(self) -> parameters.Descriptions:
        """What is said of all that is trained, by name; of an objective's own at least that it is not split."""
        own = trees.named_leaves({port.OWN: self.abstract_params().get(port.OWN, {})})
        whole = {name: parameters.Description((None,) * len(leaf.shape)) for name, leaf in own.items()}
        said = {f"{port.OWN}/{name}": each for name, each in self.objective.described().items()}
        return {**self.denoiser.described, **whole, **said}


def make(
    config: config_lib.Config,
    *,
    saved: bytes | None = None,
    captions: Iterable[str] | None = None,
    columns: Spec | None = None,
    mesh: Mesh | None = None,
    denoiser: Any = None,
    objective: port.Objective | None = None,
) -> Network:
    """The networks that a config names.

    Args:
      saved: the conditioner's state out of a checkpoint. captions: what it learns from, where there is none; with
        neither, sizes alone are right, as for a plan.
      columns: extra columns of the source, by name, without the batch axis.
      mesh: over which the denoiser's arrays lie; None: one device.
      denoiser, objective: your own, in place of the registered ones that the config names. A denoiser is what
        ``DENOISERS`` holds: ``(model, inputs, layout, rngs) -> nnx.Module``, or an object whose ``build`` is that and
        whose ``work(model, inputs)`` says what it does with one example (``dfjax.models.inputs.Work``).

    Raises:
      ConfigError: what the config names cannot work, alone or together.
    """
    inputs = Inputs(
        CODECS[codec_name(config)](config),
        CONDITIONERS[conditioner_name(config)](config, saved, captions),
        dict(columns or {}),
    )
    model, given = sizes(config), network_inputs(inputs)
    entry = DENOISERS[config.model.name] if denoiser is None else denoiser
    work = _work(entry, model, given)
    build = functools.partial(getattr(entry, "build", entry), model, given)
    where = layout.make(config.model, work, mesh) if mesh is not None else ONE_DEVICE
    made = Denoiser.make(build, given, where, work)
    return Network(config, made, inputs, objective or OBJECTIVES[config.train.objective](config))


def work_of(config: config_lib.Config) -> Work | None:
    """What the config's network does with one example, where it says so. Raises as :func:`make`."""
    inputs = Inputs(CODECS[codec_name(config)](config), CONDITIONERS[conditioner_name(config)](config, None, None))
    return _work(DENOISERS[config.model.name], sizes(config), network_inputs(inputs))


def _work(entry: Any, model: Any, given: NetworkInputs) -> Work | None:
    return entry.work(model, given) if hasattr(entry, "work") else None


def sizes(config: config_lib.Config) -> types.SimpleNamespace:
    """What a denoiser is built by: the keys of the ``model`` section, ``text_depth`` and ``learned_variance``."""
    more = {"text_depth": config.text.depth, "learned_variance": config.diffusion.learned_variance}
    return types.SimpleNamespace(**dataclasses.asdict(config.model), **more)


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
    condition = conditioning.specified(inputs.conditioner)
    return NetworkInputs(shape=inputs.codec.shape, caption=condition, vocab_size=inputs.conditioner.vocab_size)
