"""A run's parts, from a config or from a user's own objects: put together here, for training, plans and evaluation."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from dfjax.core.registry import OPTIMIZERS
from dfjax.data import sources, synthetic
from dfjax.data.source import Source
from dfjax.inputs import network as network_lib
from dfjax.inputs.network import Network
from dfjax.models.parameters import Descriptions
from dfjax.objective import port, process
from dfjax.parallel import mesh as mesh_lib


@dataclasses.dataclass(frozen=True)
class Own:
    """A user's own objects in place of what the config names; None: what it names.

    ``denoiser``: see :func:`dfjax.inputs.network.make`. ``optimizer``: an ``optax`` transformation of all that is
    trained, learning rate and clipping included.
    """

    source: Source | None = None
    validation_source: Source | None = None
    denoiser: Any = None
    objective: port.Objective | None = None
    optimizer: optax.GradientTransformation | None = None


@dataclasses.dataclass(frozen=True)
class Parts:
    """What stands before any parameter does: devices and records. ``source`` is None for synthetic data."""

    config: config_lib.Config
    mesh: Mesh
    source: Source | None = None
    validation_source: Source | None = None
    own: Own = Own()

    def network(self, saved: bytes | None = None, captions: Iterable[str] | None = None) -> Network:
        """The networks over these devices; see :func:`dfjax.inputs.network.make`."""
        return network_lib.make(
            self.config,
            saved=saved,
            captions=captions,
            columns=self.source.columns if self.source else None,
            mesh=self.mesh,
            denoiser=self.own.denoiser,
            objective=self.own.objective,
        )


def parts(config: config_lib.Config, own: Own = Own(), devices: Sequence[jax.Device] | None = None) -> Parts:
    """Mesh and records, and all checks that need no parameter. Writes nothing.

    Args:
      devices: to make a mesh of, which need not be here: then no record is looked for.

    Raises:
      ConfigError, DataError, CheckpointError: what cannot work, in words that say what to do.
    """
    process.check(config)
    if config.sample.guide and devices is None:
        guide = Workdir(Path(config.sample.guide))
        newest = guide.require_checkpoint()
        with Checkpoints(guide.checkpoints) as checkpoints:
            process.check_guide(config, checkpoints.config(newest))
    mesh = mesh_lib.make(config.mesh, devices)
    bare = Parts(config, mesh, own=own)
    sized = bare.network()
    mesh_lib.check_divides(mesh, sized.denoiser.work, config.train.batch_size, config.train.accumulation)
    optimizer(bare, sized)
    data = config.data
    if devices is not None or (own.source is None and data.name == synthetic.NAME):
        return bare
    validation = own.validation_source
    if own.source is None and data.validation_split:
        validation = sources.open_source(data, data.validation_split)
    return Parts(config, mesh, own.source or sources.open_source(data, data.split), validation, own)


def optimizer(ready: Parts, network: Network) -> optax.GradientTransformation:
    """The user's own optimizer, or the one that the config names, with the objective's own parameters apart.

    Raises:
      ConfigError: warm-up and decay overlap.
    """
    made = ready.own.optimizer or named_optimizer(ready.config, network.described)
    apart = network.objective.optimizer()
    if apart is None:
        return made

    def labels(params):
        return trees.map_named(lambda name, _: "own" if name.startswith(f"{port.OWN}/") else "denoiser", params)

    return optax.partition({"denoiser": made, "own": apart}, labels)


def named_optimizer(config: config_lib.Config, descriptions: Descriptions) -> optax.GradientTransformation:
    """Clipping by global norm, then the optimizer that ``optim.name`` says.

    Args:
      descriptions: of the parameters. One without does not decay, and Muon leaves it to AdamW.
    """
    clip_norm = config.optim.clip_norm
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    return optax.chain(*parts, OPTIMIZERS[config.optim.name](config, descriptions))
