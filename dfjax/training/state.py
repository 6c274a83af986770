"""All that training changes, as one tree."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Key

from dfjax.core import rng
from dfjax.inputs.network import Network
from dfjax.models.parameters import Descriptions
from dfjax.parallel import rules

# The int32 scalars of a state.
COUNTS = ("step", "attempt", "skipped", "skipped_in_a_row")


@struct.dataclass
class TrainState:
    """Step and attempt (int32 scalars), parameters, their averages, and the optimizer's state.

    ``skipped`` (int32) counts the steps that changed nothing, since a number was not finite, ``skipped_in_a_row``
    those at the end; so parameters were updated ``step - skipped`` times.
    ``ema`` is the warmed-up moving average; ``averages`` has a power-function average for each of optim.ema_stds,
    under the length's name, such as "0.05". ``frozen`` is what the objective hands to every step, and in no checkpoint.
    """

    step: Int[Array, ""]
    attempt: Int[Array, ""]
    params: Any
    ema: Any
    optimizer: Any
    averages: dict[str, Any] = struct.field(default_factory=dict)
    frozen: Any = struct.field(default_factory=dict)
    skipped: Int[Array, ""] = struct.field(default_factory=lambda: jnp.zeros((), jnp.int32))
    skipped_in_a_row: Int[Array, ""] = struct.field(default_factory=lambda: jnp.zeros((), jnp.int32))


def initial(
    network: Network, optimizer: optax.GradientTransformation, key: Key[Array, ""], ema_stds: tuple[float, ...] = ()
) -> TrainState:
    """The state before the first step. Traced, not run: see :func:`create`."""
    params = network.init(key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        attempt=jnp.zeros((), jnp.int32),
        params=params,
        # A copy: the step is donated both, and one buffer cannot be donated twice.
        ema=jax.tree.map(jnp.copy, params),
        optimizer=optimizer.init(params),
        # The first update replaces them.
        averages={str(std): jax.tree.map(jnp.zeros_like, params) for std in ema_stds},
    )


def abstract(
    network: Network, optimizer: optax.GradientTransformation, mesh: Mesh, ema_stds: tuple[float, ...] = ()
) -> TrainState:
    """Shapes, types and shardings of the state, as ``ShapeDtypeStruct`` leaves: what a restore is given."""
    shapes = jax.eval_shape(lambda: initial(network, optimizer, jax.random.key(0), ema_stds))
    frozen = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), network.objective.frozen())
    shapes = dataclasses.replace(shapes, frozen=frozen)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings(shapes, network.described, optimizer, mesh),
    )


def shardings(
    shapes: TrainState, descriptions: Descriptions, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Any:
    """The sharding of every leaf of a state: the parameters' own, and for the optimizer's moments their parameter's."""
    params = rules.shardings(descriptions, shapes.params, mesh)
    whole = NamedSharding(mesh, PartitionSpec())
    rows, columns = (
        optax.tree.map_params(
            optimizer,
            functools.partial(_beside, mean_over=axis),
            shapes.optimizer,
            shapes.params,
            params,
            transform_non_params=lambda _: whole,
            # Where another optimizer has the parameter.
            is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode),
        )
        for axis in (_LONGEST, _SECOND)
    )
    moments = jax.tree_util.tree_map_with_path(
        lambda path, row, column: column if jax.tree_util.GetAttrKey("v_col") in path else row, rows, columns
    )
    placed = {"params": params, "ema": params, "optimizer": moments, **dict.fromkeys(COUNTS, whole)}
    frozen = jax.tree.map(lambda _: whole, shapes.frozen)
    return dataclasses.replace(shapes, **placed, averages=dict.fromkeys(shapes.averages, params), frozen=frozen)


# Adafactor's ``v_row`` is a mean over a parameter's longest axis, its ``v_col`` over the second.
_LONGEST, _SECOND = -1, -2


def _beside(moment: Any, param: jax.ShapeDtypeStruct, sharding: NamedSharding, *, mean_over: int) -> Any:
    """Where a parameter's moment lies: as the parameter, less the axis over which a factored one is a mean."""
    if isinstance(moment, optax.MaskedNode):
        return moment
    if moment.shape == param.shape:
        return sharding
    if len(param.shape) > 1:
        # As optax orders them: of a square matrix the shapes do not say which axis is gone.
        gone = np.argsort(param.shape)[mean_over]
        if moment.shape == (*param.shape[:gone], *param.shape[gone + 1 :]):
            axes = [*sharding.spec, *[None] * (len(param.shape) - len(sharding.spec))]
            return NamedSharding(sharding.mesh, PartitionSpec(*axes[:gone], *axes[gone + 1 :]))
    # A number that only keeps a place.
    return NamedSharding(sharding.mesh, PartitionSpec())


def create(
    network: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    seed: int,
    ema_stds: tuple[float, ...] = (),
) -> TrainState:
    """A new state, made in shards: no device ever holds more than its part."""
    where = jax.tree.map(lambda leaf: leaf.sharding, abstract(network, optimizer, mesh, ema_stds))
    make = jax.jit(
        lambda key: initial(network, optimizer, key, ema_stds),
        out_shardings=dataclasses.replace(where, frozen={}),
    )
    return with_frozen(make(rng.stream(seed, "init")), network, where)


def with_frozen(state: TrainState, network: Network, where: TrainState) -> TrainState:
    """The state with the arrays that its objective keeps frozen, on the devices of ``where``."""
    return dataclasses.replace(state, frozen=jax.device_put(network.objective.frozen(), where.frozen))
