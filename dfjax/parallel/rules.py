"""Which dimension of which parameter is split over which mesh axis: by what its description says lies along each.

An optimizer's moments lie as their parameters do (train/state.py).
"""

import math
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax.core import trees
from dfjax.core.errors import ConfigError
from dfjax.models.parameters import Description, Descriptions

# Norm gains, most biases and counters are small: every device holds them.
MESH_AXES: dict[str | None, str | None] = {
    "embed": "fsdp",
    "heads": "tensor",
    "hidden": "tensor",
    "layers": None,
    None: None,
}


def axes(description: Description) -> tuple[str | None, ...]:
    """The mesh axis of each dimension of a parameter, None for one that is whole."""
    return tuple(MESH_AXES[axis] for axis in description.axes)


def spec(name: str, shape: tuple[int, ...], descriptions: Descriptions, mesh: Mesh) -> PartitionSpec:
    """The PartitionSpec of the parameter called ``name``.

    Raises:
      ConfigError: an axis does not divide the dimension that lies over it, or the mesh splits parameters and this one
        is not described, or not as it is.
    """
    if name not in descriptions:
        splitting = [axis for axis in ("fsdp", "tensor") if mesh.shape[axis] > 1]
        if splitting:
            raise ConfigError(
                f"config key 'mesh.{splitting[0]}': nothing says how parameter {name} {shape} may be split; describe "
                "it where its layer is made (dfjax.models.parameters.describe), or set mesh.fsdp and mesh.tensor to 1"
            )
        return PartitionSpec(*[None] * len(shape))
    full = axes(descriptions[name])
    if len(full) != len(shape):
        raise ConfigError(
            f"parameter {name} {shape} is described with the axes {descriptions[name].axes}: give one for each "
            "dimension (dfjax.models.parameters)"
        )
    for dimension, axis in zip(shape, full, strict=True):
        if axis and dimension % mesh.shape[axis]:
            raise ConfigError(
                f"config key 'mesh.{axis}': {mesh.shape[axis]} does not divide the {dimension} of parameter {name} "
                f"{shape}; choose a mesh.{axis} or a model.width (model.mlp_ratio, model.heads) that does"
            )
    return PartitionSpec(*full)


def shardings(descriptions: Descriptions, params: Any, mesh: Mesh) -> Any:
    """The NamedSharding of every leaf of a tree of parameters or their shapes. Raises as :func:`spec` does."""
    return trees.map_named(lambda name, leaf: NamedSharding(mesh, spec(name, leaf.shape, descriptions, mesh)), params)


def table(descriptions: Descriptions, params: Any, mesh: Mesh) -> str:
    """A line for each parameter: path, shape, spec, and its bytes on one device."""
    rows = [("parameter", "shape", "split over", "bytes a device")]
    for name, leaf in trees.named_leaves(params).items():
        found = spec(name, leaf.shape, descriptions, mesh)
        part = NamedSharding(mesh, found).shard_shape(leaf.shape)
        axes = ", ".join(axis or "-" for axis in found) if any(found) else "(copied)"
        rows.append((name, " x ".join(map(str, leaf.shape)), axes, f"{math.prod(part) * leaf.dtype.itemsize:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
