"""Which dimension of which parameter is split over which mesh axis: one table of path patterns.

A rule names the mesh axes of a parameter's *last* dimensions, so that it holds with and without a leading axis of
stacked layers. The first pattern found in the path counts. Optimizer moments carry the parameter's path as their own
tail, so one table serves the whole state.
"""

import re
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax.config import ConfigError
from dfjax.core import trees

Rule = tuple[str, tuple[str | None, ...]]

TRANSFORMER: tuple[Rule, ...] = (
    # Megatron: the first matrix splits its outputs, the second its inputs (arXiv 1909.08053, section 3).
    (r"(query|key|value|gate|up)/kernel$", ("fsdp", "tensor")),
    (r"(attention/out|mlp/down)/kernel$", ("tensor", "fsdp")),
    (r"modulation/kernel$", ("fsdp", None)),
    (r"(patch_in|time_in)/kernel$", (None, "fsdp")),
    (r"(time_out|pooled|final|patch_out)/kernel$", ("fsdp", None)),
    (r"embedding/embedding$", (None, "fsdp")),
    # Norm gains, biases and counters are small: every device holds them.
    (r"", ()),
)


def spec(name: str, shape: tuple[int, ...], mesh: Mesh, rules: tuple[Rule, ...] = TRANSFORMER) -> PartitionSpec:
    """The PartitionSpec of the parameter called ``name``.

    Raises:
      ConfigError: an axis does not divide the dimension that the rule splits over it.
    """
    axes = next(axes for pattern, axes in rules if re.search(pattern, name))
    if len(axes) > len(shape):
        # A scalar that stands for a parameter, as some optimizers keep.
        return PartitionSpec()
    full = (None,) * (len(shape) - len(axes)) + axes
    for dimension, axis in zip(shape, full, strict=True):
        if axis and dimension % mesh.shape[axis]:
            raise ConfigError(
                f"config key 'mesh.{axis}': {mesh.shape[axis]} does not divide the {dimension} of parameter {name} "
                f"{shape}; choose a mesh.{axis} or a model.width (model.mlp_ratio, model.heads) that does"
            )
    return PartitionSpec(*full)


def shardings(tree: Any, mesh: Mesh, rules: tuple[Rule, ...] = TRANSFORMER) -> Any:
    """The NamedSharding of every leaf of a tree of arrays or shapes."""
    return trees.map_named(lambda name, leaf: NamedSharding(mesh, spec(name, leaf.shape, mesh, rules)), tree)
