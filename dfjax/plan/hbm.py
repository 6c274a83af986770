"""An estimate of the bytes that a step moves between a device's memory and its cores.

The compiler's own counter takes a scanned layer once and no kernel at all. So it is counted in the jaxpr, as the least
that a step can do: every matrix product and attention kernel reads its operands and writes its results, once; all else
is fused into them; then state and gradients are read and written.
"""

import dataclasses
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import build
from dfjax.plan.flops import jaxprs

# Rows of a batch in the trace. A large prime: a size that it divides is of activations, any other of weights.
_ROWS = 10_007
_MOVERS = ("dot_general", "conv_general_dilated", "pallas_call", "dot_product_attention")


@dataclasses.dataclass(frozen=True)
class Moved:
    """Bytes a step on a device with whole layers: of weights and their gradients, and for each row of its batch."""

    fixed: float = 0.0
    per_row: float = 0.0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(self.fixed + other.fixed, self.per_row + other.per_row)

    def __mul__(self, times: float) -> "Moved":
        return Moved(times * self.fixed, times * self.per_row)

    @property
    def total(self) -> float:
        return self.fixed + _ROWS * self.per_row


def step_bytes(config: config_lib.Config, mesh: jax.sharding.Mesh, state: dict[str, int]) -> float:
    """Estimated bytes that each device of the mesh reads and writes in a step.

    Args:
      state: bytes of the state on a device, by kind.
    """
    layers = layer_bytes(config, mesh.devices.flat[0])
    rows = config.train.batch_size / mesh_lib.batch_shards(mesh)
    tensor, context = mesh.shape["tensor"], mesh.shape["context"]
    in_layers = layers.fixed / tensor + rows * layers.per_row / (tensor * context)
    gradients = 2 * config.train.accumulation * state["params"]
    return in_layers + gradients + 2 * sum(state.values())


def layer_bytes(config: config_lib.Config, device: jax.Device) -> Moved:
    """What the products and kernels of a step move on one device alone, by its trace there."""
    parts = config.train.accumulation
    train = dataclasses.replace(config.train, batch_size=_ROWS * parts)
    alone = dataclasses.replace(config, train=train, mesh=config_lib.Mesh())
    closed = build.trace(alone, [device]).jaxpr
    live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    moved = _count(live)
    # A scan over micro-batches goes over the rows of all of them.
    return Moved(moved.fixed, moved.per_row / parts)


def _count(jaxpr: core.Jaxpr) -> Moved:
    return sum((_equation(equation) for equation in jaxpr.eqns), Moved())


def _equation(equation: Any) -> Moved:
    name = equation.primitive.name
    if name.startswith(_MOVERS):
        return sum((_array(variable.aval) for variable in (*equation.invars, *equation.outvars)), Moved())
    inner = [_count(jaxpr) for jaxpr in jaxprs(equation.params)]
    if name == "cond":
        return max(inner, key=lambda moved: moved.total)
    return sum(inner, Moved()) * (equation.params["length"] if name == "scan" else 1)


def _array(aval: Any) -> Moved:
    size = aval.size * aval.dtype.itemsize
    return Moved(per_row=size / _ROWS) if aval.size % _ROWS == 0 else Moved(fixed=size)
