"""The layout of a network over a mesh: weights gathered for their use, activations kept split, attention per device.

What moves, and when: a layer's weights are gathered over ``fsdp`` in the compute type just before the layer runs, in
the forward pass and again in the backward one; their gradients are summed and split over ``fsdp`` in float32, so that
no sum over many devices is made in less. Keys and values are gathered over ``context``. Activations never move over
the axes of the batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.models import attention
from dfjax.models.layout import ONE_DEVICE, Attend, Layout, Masks, Streams, joint
from dfjax.parallel import mesh as mesh_lib
from dfjax.parallel import rules
from dfjax.parallel.mesh import BATCH_AXES

# [batch, tokens, width] and [batch, tokens, heads, head].
TOKENS = PartitionSpec(BATCH_AXES, "context", None)
HEADS = PartitionSpec(BATCH_AXES, "context", "tensor", None)
MASK = PartitionSpec(BATCH_AXES, "context")


def make(config: config_lib.Config, mesh: Mesh) -> Layout:
    """The layout for a config on a mesh.

    Raises:
      ConfigError: the platform lacks the wanted attention kernel, or the kernel the shape.
    """
    platform = mesh.devices.flat[0].platform
    tokens, model = sum(mesh_lib.token_counts(config)), config.model
    kernel = attention.choose(
        model.attention, platform, model.width // model.heads, tokens // mesh.shape["context"], tokens, model.dtype
    )
    if mesh.size == 1:
        return Layout(attend=functools.partial(_joint, kernel=kernel, remat=config.model.remat == "attention"))
    splits = mesh.shape["fsdp"] > 1
    return Layout(
        attend=_attend(mesh, kernel, remat=config.model.remat == "attention"),
        tokens=_constrained(mesh),
        weights=functools.partial(_fetch, mesh=mesh, dtype=jnp.dtype(config.model.dtype))
        if splits
        else ONE_DEVICE.weights,
        gathers=splits,
    )


def _joint(queries: Streams, keys: Streams, values: Streams, masks: Masks, *, kernel: str, remat: bool) -> Streams:
    """:func:`joint`, whose scores are not kept for the backward pass where ``remat`` says so."""
    run = functools.partial(joint, kernel=kernel)
    return (attention.checkpointed(run) if remat and kernel == "xla" else run)(queries, keys, values, masks)


def _constrained(mesh: Mesh) -> Callable[[Array], Array]:
    sharding = NamedSharding(mesh, TOKENS)
    return lambda x: jax.lax.with_sharding_constraint(x, sharding)


def _attend(mesh: Mesh, kernel: str, *, remat: bool) -> Attend:
    """Attention of each device's own queries over all keys: kernels know one device, and context needs a gather."""

    def on_device(queries: Streams, keys: Streams, values: Streams, masks: Masks) -> Streams:
        if mesh.shape["context"] > 1:
            gather = functools.partial(jax.lax.all_gather, axis_name="context", axis=1, tiled=True)
            # Their order changes with it, to which attention is blind: positions are in them already.
            keys, values, masks = jax.tree.map(gather, (keys, values, masks))
        return _joint(queries, keys, values, masks, kernel=kernel, remat=remat)

    def attend(queries: Streams, keys: Streams, values: Streams, masks: Masks) -> Streams:
        heads, mask = (HEADS,) * len(queries), (MASK,) * len(masks)
        run = jax.shard_map(
            on_device, mesh=mesh, in_specs=(heads, heads, heads, mask), out_specs=heads, check_vma=False
        )
        return run(queries, keys, values, masks)

    return attend


def _fetch(tree: Any, *, mesh: Mesh, dtype: jnp.dtype) -> Any:
    """A tree of parameters with those that lie split over ``fsdp`` whole along it, in ``dtype``."""

    def one(name: str, leaf: Array) -> Array:
        split = rules.spec(name, leaf.shape, mesh)
        if "fsdp" not in split:
            return leaf
        whole = PartitionSpec(*(None if axis == "fsdp" else axis for axis in split))
        return _gathered(NamedSharding(mesh, split), NamedSharding(mesh, whole), dtype, leaf)

    return trees.map_named(one, tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _gathered(split: NamedSharding, whole: NamedSharding, dtype: jnp.dtype, leaf: Array) -> Array:
    """A parameter cast where it lies, then gathered; its gradient is float32 before it is summed over devices."""
    cast = jax.lax.with_sharding_constraint(leaf.astype(dtype), split)
    return jax.lax.with_sharding_constraint(cast, whole)


def _gathered_forward(split, whole, dtype, leaf):
    return _gathered(split, whole, dtype, leaf), None


def _gathered_backward(split, whole, dtype, _, gradient):
    return (jax.lax.with_sharding_constraint(gradient.astype(jnp.float32), split),)


_gathered.defvjp(_gathered_forward, _gathered_backward)
