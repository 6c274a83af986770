"""Which dimension of which parameter is split over which mesh axis: one table of path patterns.

A rule names the mesh axes of a parameter's *last* dimensions, so that it holds with and without a leading axis of
stacked layers. The first pattern found in the path counts. Both networks are made of the same layers, so one table
serves them; an optimizer's moments lie as their parameters do.
"""

import math
import re
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax.config import ConfigError
from dfjax.core import trees

Rule = tuple[str, tuple[str | None, ...]]

RULES: tuple[Rule, ...] = (
    # Megatron: the first matrix splits its outputs, the second its inputs (arXiv 1909.08053, section 3).
    (r"(query|key|value|gate|up)/kernel$", ("fsdp", "tensor")),
    (r"(attention/out|mlp/down)/kernel$", ("tensor", "fsdp")),
    (r"modulation/kernel$", ("fsdp", None)),
    # Of all that is no matrix, this alone is large: whole, it would be a twentieth of the state of 2B over 256 devices.
    (r"modulation/bias$", ("fsdp",)),
    (r"(patch_in|time_in|text_in)/kernel$", (None, "fsdp")),
    (r"(time_out|pooled|final|patch_out)/kernel$", ("fsdp", None)),
    (r"embedding/embedding$", (None, "fsdp")),
    # Norm gains, biases and counters are small: every device holds them.
    (r"", ()),
)


def axes(name: str, dimensions: int, rules: tuple[Rule, ...] = RULES) -> tuple[str | None, ...]:
    """The mesh axis of each dimension of the parameter called ``name``, None for one that is whole."""
    last = next(last for pattern, last in rules if re.search(pattern, name))
    # A scalar that stands for a parameter, as some optimizers keep, has none.
    return (None,) * (dimensions - len(last)) + last if len(last) <= dimensions else (None,) * dimensions


def spec(name: str, shape: tuple[int, ...], mesh: Mesh, rules: tuple[Rule, ...] = RULES) -> PartitionSpec:
    """The PartitionSpec of the parameter called ``name``.

    Raises:
      ConfigError: an axis does not divide the dimension that the rule splits over it.
    """
    full = axes(name, len(shape), rules)
    for dimension, axis in zip(shape, full, strict=True):
        if axis and dimension % mesh.shape[axis]:
            raise ConfigError(
                f"config key 'mesh.{axis}': {mesh.shape[axis]} does not divide the {dimension} of parameter {name} "
                f"{shape}; choose a mesh.{axis} or a model.width (model.mlp_ratio, model.heads) that does"
            )
    return PartitionSpec(*full)


def table(params: Any, mesh: Mesh) -> str:
    """A line for each parameter: path, shape, spec, and its bytes on one device."""
    rows = [("parameter", "shape", "split over", "bytes a device")]
    for name, leaf in trees.named_leaves(params).items():
        found = spec(name, leaf.shape, mesh)
        part = NamedSharding(mesh, found).shard_shape(leaf.shape)
        axes = ", ".join(axis or "-" for axis in found) if any(found) else "(copied)"
        rows.append((name, " x ".join(map(str, leaf.shape)), axes, f"{math.prod(part) * leaf.dtype.itemsize:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def shardings(tree: Any, mesh: Mesh, rules: tuple[Rule, ...] = RULES) -> Any:
    """The NamedSharding of every leaf of a tree of arrays or shapes."""
    return trees.map_named(lambda name, leaf: NamedSharding(mesh, spec(name, leaf.shape, mesh, rules)), tree)
