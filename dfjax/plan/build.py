"""The very step that ``dfjax train`` runs, compiled for devices that need not be there."""

import dataclasses
import re
import time
from collections.abc import Sequence

import jax
import optax
from jax.extend import core
from jax.sharding import Mesh

from dfjax import assembly
from dfjax import config as config_lib
from dfjax.inputs.network import Network
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan.topology import Topology
from dfjax.training import state as state_lib
from dfjax.training import step as step_lib

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
    network: Network
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
class Planned:
    """What a config is on a mesh: the network, its optimizer, and the state's shapes with their shardings."""

    mesh: Mesh
    network: Network
    optimizer: optax.GradientTransformation
    state: state_lib.TrainState


def planned(config: config_lib.Config, devices: Sequence[jax.Device]) -> Planned:
    """What the step is made of, for a mesh over ``devices`` and a tokenizer as large as the config allows.

    Raises:
      ConfigError: the config cannot work, or not on so many devices.
    """
    ready = assembly.parts(config, devices=devices)
    network = ready.network()
    optimizer = assembly.optimizer(ready, network)
    state = state_lib.abstract(network, optimizer, ready.mesh, config.optim.ema_stds)
    return Planned(ready.mesh, network, optimizer, state)


def trace(config: config_lib.Config, devices: Sequence[jax.Device]) -> Traced:
    """The step as ``dfjax train`` would run it on these devices, traced. Raises ConfigError as :func:`planned` does."""
    own = planned(config, devices)
    split = mesh_lib.batch_sharding(own.mesh)
    batch = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=split)
        for name, array in own.network.inputs.batch(config.train.batch_size).items()
    }
    where = jax.tree.map(lambda leaf: leaf.sharding, own.state)
    step = step_lib.make(own.network, own.optimizer, own.mesh, where)
    return Traced(own.mesh, own.network, own.state, step.trace(own.state, batch))


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
