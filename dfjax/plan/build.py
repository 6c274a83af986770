"""The very step that ``dfjax train`` runs, compiled for devices that need not be there."""

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.extend import core
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.models import denoiser as denoiser_lib
from dfjax.objective import process
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan.topology import Topology
from dfjax.train import optim
from dfjax.train import state as state_lib
from dfjax.train import step as step_lib

# libtpu refuses a program whose arrays, arguments among them, do not fit: at its scheduling, or when it assigns memory.
_REFUSALS = (
    r"the total memory required for HLO temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM",
    r"Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm",
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Traced:
    """A step before it is compiled: its mesh, the network, the state's shapes with their shardings, and the trace."""

    mesh: Mesh
    denoiser: denoiser_lib.Denoiser
    state: state_lib.TrainState
    trace: jax.stages.Traced

    @property
    def jaxpr(self) -> core.ClosedJaxpr:
        return self.trace.jaxpr


@dataclasses.dataclass(frozen=True)
class Built:
    """A step, compiled.

    Attributes:
      compiled: None where the compiler refused the program, since it does not fit the device.
      needed_bytes: what the compiler then said that the program needs of each device; else None.
      compile_seconds: of lowering and compiling, without the trace.
    """

    traced: Traced
    compiled: jax.stages.Compiled | None
    needed_bytes: int | None
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a config is on a mesh: the network, its optimizer, and the state's shapes with their shardings."""

    mesh: Mesh
    denoiser: denoiser_lib.Denoiser
    optimizer: optax.GradientTransformation
    state: state_lib.TrainState


def parts(config: config_lib.Config, devices: Sequence[jax.Device]) -> Parts:
    """What the step is made of, for a mesh over ``devices`` and a tokenizer as large as the config allows.

    Raises:
      ConfigError: the config cannot work, or not on so many devices.
    """
    process.check(config)
    mesh = mesh_lib.make(config.mesh, devices)
    work = denoiser_lib.work(config)
    mesh_lib.check_divides(mesh, work, config.train.batch_size, config.train.accumulation)
    denoiser = denoiser_lib.make(config, config.text.vocab_size, layout.make(config.model, work, mesh))
    optimizer = optim.make(config, denoiser.described)
    return Parts(mesh, denoiser, optimizer, state_lib.abstract(denoiser, optimizer, mesh, config.optim.ema_stds))


def trace(config: config_lib.Config, devices: Sequence[jax.Device]) -> Traced:
    """The step as ``dfjax train`` would run it on these devices, traced. Raises ConfigError as :func:`parts` does."""
    own = parts(config, devices)
    split = mesh_lib.batch_sharding(own.mesh)
    batch = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=split)
        for name, array in step_lib.batch_shapes(config).items()
    }
    where = jax.tree.map(lambda leaf: leaf.sharding, own.state)
    step = step_lib.make(own.denoiser, config, own.optimizer, null_caption(config), own.mesh, where)
    return Traced(own.mesh, own.denoiser, own.state, step.trace(own.state, batch))


def null_caption(config: config_lib.Config) -> Any:
    """A null caption of the right shape; what is in it does not change the program."""
    if config.text.features:
        return denoiser_lib.null_features(config)
    return np.ones(config.text.max_tokens, np.int32)


def build(config: config_lib.Config, topology: Topology) -> Built:
    """Trace and compile.

    Raises:
      ConfigError: as of :func:`trace`. TopologyError: the compiler for the topology is missing.
    """
    traced = trace(config, topology.devices())
    started = time.monotonic()
    compiled, needed = None, None
    try:
        compiled = traced.trace.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        needed = needed_bytes(str(error))
        if needed is None:
            raise
    return Built(traced, compiled, needed, time.monotonic() - started)


def needed_bytes(words: str) -> int | None:
    """The bytes a device that a TPU program would need, by the compiler's refusal of it; None for any other error."""
    if "RESOURCE_EXHAUSTED" not in words:
        return None
    found = next(filter(None, (re.search(pattern, words) for pattern in _REFUSALS)), None)
    return round(float(found[1]) * _UNITS[found[2]]) if found else None
