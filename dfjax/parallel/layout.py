"""The layout of a network over a mesh: weights gathered for their use, activations kept split, attention per device.

There are two. :func:`make` leaves it to the compiler what moves: for sampling and validation. :func:`manual` is for the
training step, which runs as one program a device over the axes of the batch (``jax.shard_map``), so that what moves is
what is written here: a layer's weights are gathered over ``fsdp`` in the compute type just before the layer runs, in
the forward pass and again in the backward one; their gradients are summed and split over ``fsdp`` in float32, so that
no sum over many devices is made in less (FSDP, arXiv 2304.11277; ZeRO stage 3, arXiv 1910.02054). Keys and values are
gathered over ``context``, along which each device works on its own tokens. Activations never move over the axes of the
batch. ``tensor`` is left to the compiler within a layer, apart from attention.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.models import attention
from dfjax.models.inputs import Work
from dfjax.models.layout import Attend, Layout, Masks, Streams, joint
from dfjax.models.parameters import Descriptions
from dfjax.parallel import rules, torus
from dfjax.parallel.mesh import BATCH_AXES


def make(model: config_lib.Model, work: Work | None, mesh: Mesh) -> Layout:
    """The layout of a network called on global arrays.

    Args:
      work: what the network does with one example; None, where it does not say: attention is the plain one.

    Raises:
      ConfigError: the platform lacks the wanted attention kernel, or the kernel the shape.
    """
    run = _kernel(model, work, mesh)
    if mesh.size == 1:
        return Layout(attend=run)
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXES, "context", None))
    return Layout(
        attend=_on_each(_with_all_keys(run, mesh), BATCH_AXES, "context", mesh=mesh),
        tokens=lambda x: jax.lax.with_sharding_constraint(x, sharding),
    )


def manual_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes over which the training step is one program a device: all but a ``tensor`` that splits layers."""
    return tuple(axis for axis in mesh.axis_names if axis != "tensor" or mesh.shape[axis] == 1)


def manual(model: config_lib.Model, work: Work | None, mesh: Mesh) -> Layout:
    """The layout of a network called under ``shard_map`` over :func:`manual_axes`. Raises as :func:`make` does.

    Each device gives the loss of whole pictures, so that those along ``context`` give the same one.
    """
    run, splits = _kernel(model, work, mesh), mesh.shape["tensor"] > 1
    if splits:
        run = _on_each(run, None, None, axis_names=frozenset({"tensor"}))
    layout = Layout(attend=_with_all_keys(run, mesh))
    if splits:
        whole = PartitionSpec(None, None, None)
        layout = dataclasses.replace(layout, tokens=lambda x: jax.lax.with_sharding_constraint(x, whole))
    if mesh.shape["context"] > 1:
        layout = dataclasses.replace(layout, part=functools.partial(_part, mesh.shape["context"]), whole=_whole)
    if mesh.shape["fsdp"] > 1:
        fetch = functools.partial(_fetch, dtype=jnp.dtype(model.dtype), stages=torus.stages(mesh, "fsdp"))
        layout = dataclasses.replace(layout, weights=fetch, gathers=True)
    return layout


def _kernel(model: config_lib.Model, work: Work | None, mesh: Mesh) -> Attend:
    """Joint attention of the tokens of one device by the kernel that config and platform ask for."""
    kernel = "xla"
    if work is not None:
        platform, own = mesh.devices.flat[0].platform, work.tokens // mesh.shape["context"]
        kernel = attention.choose(model.attention, platform, work.head_width, own, work.tokens, model.dtype)
    run = functools.partial(joint, kernel=kernel)
    # Flash kernels keep no scores.
    return attention.checkpointed(run) if model.remat == "attention" and kernel == "xla" else run


def _with_all_keys(run: Attend, mesh: Mesh) -> Attend:
    """``run`` of each device's own queries over the keys of all along ``context``."""
    if mesh.shape["context"] == 1:
        return run

    def attend(queries: Streams, keys: Streams, values: Streams, masks: Masks) -> Streams:
        # Their order changes with it, to which attention is blind: positions are in them already.
        return run(queries, *jax.tree.map(_whole, (keys, values, masks)))

    return attend


def _on_each(run: Attend, batch: tuple[str, ...] | None, tokens: str | None, **options: Any) -> Attend:
    """``run`` on each device's own heads, and its own rows and tokens where those are split too."""

    def attend(queries: Streams, keys: Streams, values: Streams, masks: Masks) -> Streams:
        heads = (PartitionSpec(batch, tokens, "tensor", None),) * len(queries)
        mask = (PartitionSpec(batch, tokens),) * len(masks)
        on_all = jax.shard_map(run, in_specs=(heads, heads, heads, mask), out_specs=heads, check_vma=False, **options)
        return on_all(queries, keys, values, masks)

    return attend


def _part(contexts: int, x: Array, axis: int = 1) -> Array:
    size = x.shape[axis] // contexts
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index("context") * size, size, axis)


def _whole(x: Array) -> Array:
    return jax.lax.all_gather(x, "context", axis=1, tiled=True)


def _fetch(tree: Any, descriptions: Descriptions, *, dtype: jnp.dtype, stages: torus.Stages) -> Any:
    """A tree of one device's parts of parameters, with those that lie split over ``fsdp`` whole along it.

    Stacked layers stay as they are: each is fetched by itself, as the layer it then is.
    """

    def one(name: str, leaf: Array) -> Array:
        axes = rules.axes(descriptions[name])
        if "fsdp" not in axes or descriptions[name].is_stacked:
            return leaf
        return _gathered(axes.index("fsdp"), dtype, stages, leaf)

    return trees.map_named(one, tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _gathered(dimension: int, dtype: jnp.dtype, stages: torus.Stages, leaf: Array) -> Array:
    """A parameter cast where it lies, then gathered; its gradient is float32 before it is summed over devices."""
    return torus.all_gather(leaf.astype(dtype), "fsdp", dimension, stages)


def _gathered_forward(dimension, dtype, stages, leaf):
    # Not by calling _gathered: what may be gathered again is told by the primitive (models/stack.py).
    return torus.all_gather(leaf.astype(dtype), "fsdp", dimension, stages), None


def _gathered_backward(dimension, dtype, stages, _, gradient):
    return (torus.sum_scatter(gradient.astype(jnp.float32), "fsdp", dimension, stages),)


_gathered.defvjp(_gathered_forward, _gathered_backward)


def summed(gradients: Any, descriptions: Descriptions, mesh: Mesh) -> Any:
    """Gradients of one device's rows and tokens summed over all: those of gathered weights are so over ``fsdp``.

    After the scatter, so that over ``context`` too only a device's own part moves, in float32.
    """

    def one(name: str, leaf: Array) -> Array:
        gathered = mesh.shape["fsdp"] > 1 and "fsdp" in rules.axes(descriptions[name])
        axes = (*BATCH_AXES, "context")
        over = tuple(a for a in axes if mesh.shape[a] > 1 and not (gathered and a == "fsdp"))
        return jax.lax.psum(leaf, over) if over else leaf

    return trees.map_named(one, gradients)
