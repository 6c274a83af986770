"""Collectives along a mesh axis that lies over several dimensions of a torus: one dimension after the other.

libtpu makes a reduce-scatter over a single dimension what it is, and one over several an all-reduce, which sends twice
as much (seen with libtpu 0.0.42 for v5e:16x16; a test reads it from the compiled program). The order of the shards is
that of the mesh axis, as if it were one collective.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

# For each dimension of the torus, the neighbours along it first: groups of positions along the mesh axis.
Stages = tuple[tuple[tuple[int, ...], ...], ...]


def stages(mesh: Mesh, axis: str) -> Stages:
    """The groups of devices along each dimension of the torus over which ``axis`` lies.

    Empty where there is no torus, or the axis lies over one dimension of it: a single collective does it then.
    """
    devices = np.moveaxis(mesh.devices, mesh.axis_names.index(axis), 0).reshape(mesh.shape[axis], -1)
    sizes = {_digits([getattr(device, "coords", None) for device in fiber]) for fiber in devices.T}
    if len(sizes) != 1:
        return ()
    digits = sizes.pop()
    return groups(digits) if len(digits) > 1 else ()


def groups(digits: Sequence[int]) -> Stages:
    """The groups for positions counted in mixed radix, the fastest digit first: of each, the others fixed."""
    grid = np.arange(int(np.prod(digits))).reshape(tuple(reversed(digits)))
    lines = (np.moveaxis(grid, -1 - place, -1).reshape(-1, size) for place, size in enumerate(digits))
    return tuple(tuple(map(tuple, part.tolist())) for part in lines)


def _digits(coords: list[Sequence[int] | None]) -> tuple[int, ...]:
    """How many devices in a row differ in one coordinate alone, then how many such rows do, and so on."""
    if len(coords) == 1 or any(coord is None for coord in coords):
        return ()
    points = np.array(coords)
    changed = (points[1:] != points[:1]).sum(axis=1) > 0
    first = np.flatnonzero(points[1] != points[0])
    others = np.delete(points, first, axis=1)
    moved = np.flatnonzero((others != others[0]).any(axis=1))
    run = int(moved[0]) if len(moved) else len(points)
    if len(first) != 1 or not changed.all() or len(points) % run:
        return ()
    rest = _digits(coords[::run])
    return (run, *rest) if rest or run == len(points) else ()


def all_gather(x: Array, axis: str, dimension: int, groups: Stages) -> Array:
    """The parts of ``x`` on the devices along ``axis``, joined along ``dimension``; call under ``shard_map``."""
    for group in groups or (None,):
        x = jax.lax.all_gather(x, axis, axis=dimension, tiled=True, axis_index_groups=group)
    return x


def sum_scatter(x: Array, axis: str, dimension: int, groups: Stages) -> Array:
    """The sum of ``x`` over the devices along ``axis``, of which each gets its part: the transpose of all_gather."""
    for group in tuple(reversed(groups)) or (None,):
        size = len(group[0]) if group else jax.lax.axis_size(axis)
        # A dimension of its own for the parts: of parts that are no whole tiles libtpu pads each, or makes an
        # all-reduce (2,432 rows over 16 x 8 sent 2.0 times the ideal, so 1.02).
        parts = x.reshape(*x.shape[:dimension], size, -1, *x.shape[dimension + 1 :])
        x = jax.lax.psum_scatter(parts, axis, scatter_dimension=dimension, axis_index_groups=group)
    return x
