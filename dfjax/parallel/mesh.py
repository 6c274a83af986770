"""The device mesh and how a batch lies on it."""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from dfjax import config as config_lib
from dfjax.models.inputs import Work

_log = logging.getLogger(__name__)

# From the slowest network to the fastest use: replica spans slices, over the data-centre network; context and tensor
# talk most, and get neighbours.
AXES = ("replica", "data", "fsdp", "tensor", "context")
# The batch is split over these: fsdp is data parallelism whose parameters are split too.
BATCH_AXES = ("replica", "data", "fsdp")
BATCH = PartitionSpec(BATCH_AXES)


def make(sizes: config_lib.Mesh, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of the axes in AXES over ``devices`` (all of them by default); at most one size may be -1.

    Of devices in several slices, each slice holds whole replicas: only ``replica`` crosses the network between them.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices, or replicas do not divide over the slices,
        naming sizes that do.
    """
    devices = list(jax.devices() if devices is None else devices)
    slices = len({getattr(device, "slice_index", 0) or 0 for device in devices})
    shape = shape_over(sizes, len(devices), slices)
    array = np.array(sorted(devices, key=_place)).reshape(shape)
    mesh = Mesh(array, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    _log.info("mesh: %s over %d %s device(s)", dict(mesh.shape), len(devices), devices[0].platform)
    return mesh


def shape_over(sizes: config_lib.Mesh, devices: int, slices: int = 1) -> tuple[int, ...]:
    """The size of each axis in AXES over so many devices in so many slices, none of which need be here.

    Raises:
      ConfigError: see :func:`make`.
    """
    wanted = {axis: getattr(sizes, axis) for axis in AXES}
    free = [axis for axis, size in wanted.items() if size == -1]
    fixed = math.prod(size for size in wanted.values() if size != -1)
    obstacle = ""
    if len(free) > 1 or not fixed:
        obstacle = f"one size may be -1 and none 0, not {_words(wanted)}"
    elif devices % fixed or (not free and fixed != devices):
        obstacle = f"{_words(wanted)} does not make {devices} devices"
    if obstacle:
        raise config_lib.ConfigError(f"config section 'mesh': {obstacle}; try {_nearest(wanted, devices, slices)}")
    shape = tuple(devices // fixed if size == -1 else size for size in wanted.values())
    if shape[0] % slices:
        raise config_lib.ConfigError(
            f"config key 'mesh.replica': {shape[0]} is no multiple of the {slices} slices, and only replicas may lie "
            f"in different slices; try {_nearest(wanted, devices, slices)}"
        )
    return shape


# Which axis keeps its -1 where several have one: data has it by default, so that another was meant.
_FREE_FIRST = ("fsdp", "tensor", "context", "replica", "data")
# How dear a size is to who chose it: copies and splits of the batch give way before splits of the network.
_DEAR = {"replica": 2, "data": 1, "fsdp": 2, "tensor": 4, "context": 4}


def _nearest(wanted: dict[str, int], devices: int, slices: int) -> str:
    """Flags of the mesh over ``devices`` that changes the wanted sizes least, its replicas divided over ``slices``."""
    free = next((axis for axis in _FREE_FIRST if wanted[axis] == -1), "data")
    kept = {axis: max(1, size) for axis, size in wanted.items() if axis != free or size > 0}

    def distance(shape: tuple[int, ...]) -> float:
        sizes = dict(zip(AXES, shape, strict=True))
        return sum(_DEAR[axis] * abs(math.log(sizes[axis] / size)) for axis, size in kept.items())

    shape: tuple[int, ...] = min((s for s in _shapes(devices, len(AXES)) if s[0] % slices == 0), key=distance)
    advised = dict(zip(AXES, shape, strict=True)) | {free: -1}
    default = config_lib.Mesh()
    return " ".join(
        f"--config.mesh.{axis}={size}"
        for axis, size in advised.items()
        if axis == free or size != wanted[axis] or size != getattr(default, axis)
    )


def _shapes(devices: int, axes: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a number of devices as a product of sizes."""
    if axes == 1:
        yield (devices,)
        return
    for size in range(1, devices + 1):
        if devices % size == 0:
            yield from ((size, *rest) for rest in _shapes(devices // size, axes - 1))


def _words(sizes: dict[str, int]) -> str:
    return " x ".join(f"{axis}={size}" for axis, size in sizes.items())


def _place(device: jax.Device) -> tuple[Any, ...]:
    """Slice by slice, and in a slice line by line of its torus: each axis of the mesh lies along whole lines, or parts.

    Along such lines ``torus.py`` can tell one dimension from the next. JAX's own order is not always so: for v5e:4x4 it
    is a snake. Devices without coordinates keep their order, by process.
    """
    coords = tuple(getattr(device, "coords", None) or ())
    return getattr(device, "slice_index", 0) or 0, coords or (device.process_index,), device.id


def batch_shards(mesh: Mesh | AbstractMesh) -> int:
    """Parts into which the batch is split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_divides(mesh: Mesh | AbstractMesh, work: Work | None, batch_size: int, accumulation: int = 1) -> None:
    """Raise ConfigError, naming the nearest right size, unless batch, heads and tokens divide over their axes.

    Args:
      work: what the network does with one example; None, where it does not say: then its tokens stay together.
      batch_size: examples of a step, in ``accumulation`` micro-batches.
    """
    shards = batch_shards(mesh)
    unit = shards * accumulation
    if batch_size % unit:
        nearest = max(1, round(batch_size / unit)) * unit
        raise config_lib.ConfigError(
            f"config key 'train.batch_size': {batch_size} is no multiple of {unit} (mesh.replica x mesh.data x "
            f"mesh.fsdp = {shards}, train.accumulation = {accumulation}); try --config.train.batch_size={nearest}"
        )
    tensor, context = mesh.shape["tensor"], mesh.shape["context"]
    if work is None:
        if context > 1:
            raise config_lib.ConfigError(
                f"config key 'mesh.context': {context} devices would share tokens of which the network does not say "
                "how many it has; try --config.mesh.context=1"
            )
        return
    if work.heads % tensor:
        raise config_lib.ConfigError(
            f"config key 'mesh.tensor': {tensor} does not divide model.heads {work.heads}; "
            f"try --config.model.heads={max(1, round(work.heads / tensor)) * tensor} or a smaller mesh.tensor"
        )
    streams = _streams(work)
    for count, what in streams:
        if count % context:
            good = max(d for d in range(1, context + 1) if all(n % d == 0 for n, _ in streams))
            raise config_lib.ConfigError(
                f"config key 'mesh.context': {context} does not divide the {count} {what}; "
                f"try --config.mesh.context={good}"
            )


def _streams(work: Work) -> list[tuple[int, str]]:
    """Numbers of tokens that must each divide over ``context``, and what they are."""
    other = (work.image, "image tokens") if work.apart else (work.tokens, "tokens of text and image")
    return [(work.text, "text tokens"), other]


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The batch axis over ``replica``, ``data`` and ``fsdp``; other dimensions whole."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put(value: np.ndarray, sharding: NamedSharding) -> Array:
    """A host array that every process holds, as a global one."""
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def fetch(value: Array) -> np.ndarray:
    """A global array, whole, on every process."""
    if value.is_fully_addressable:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))
