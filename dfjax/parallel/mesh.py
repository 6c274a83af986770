"""The device mesh and how a batch lies on it."""

import logging
import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dfjax import config as config_lib

_log = logging.getLogger(__name__)

AXES = ("data", "fsdp", "tensor")
# The batch is split over both: fsdp is data parallelism whose parameters are split too.
BATCH = PartitionSpec(("data", "fsdp"))


def make(sizes: config_lib.Mesh, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of the axes in AXES over ``devices`` (all of them by default); at most one size may be -1.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices, naming sizes that do.
    """
    devices = list(jax.devices() if devices is None else devices)
    wanted = [getattr(sizes, axis) for axis in AXES]
    free = [axis for axis, size in zip(AXES, wanted, strict=True) if size == -1]
    if len(free) > 1 or 0 in wanted:
        raise config_lib.ConfigError(
            f"config section 'mesh': one size may be -1 and none 0, not {dict(zip(AXES, wanted, strict=True))}"
        )
    fixed = math.prod(size for size in wanted if size != -1)
    if len(devices) % fixed or (not free and fixed != len(devices)):
        raise config_lib.ConfigError(
            f"config section 'mesh': {' x '.join(f'{a}={s}' for a, s in zip(AXES, wanted, strict=True))} does not make "
            f"{len(devices)} devices; try --config.mesh.data=-1 --config.mesh.fsdp=1 --config.mesh.tensor=1"
        )
    shape = tuple(len(devices) // fixed if size == -1 else size for size in wanted)
    mesh = jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)
    _log.info("mesh: %s over %d %s device(s)", dict(mesh.shape), len(devices), devices[0].platform)
    return mesh


def check_divides(config: config_lib.Config, mesh: Mesh) -> None:
    """Raise ConfigError, naming the nearest right size, unless micro-batches and heads divide over their axes."""
    tensor, heads = mesh.shape["tensor"], config.model.heads
    if heads % tensor:
        raise config_lib.ConfigError(
            f"config key 'mesh.tensor': {tensor} does not divide model.heads {heads}; "
            f"try --config.model.heads={max(1, round(heads / tensor)) * tensor} or a smaller mesh.tensor"
        )
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    unit = shards * config.train.accumulation
    if config.train.batch_size % unit:
        nearest = max(1, round(config.train.batch_size / unit)) * unit
        raise config_lib.ConfigError(
            f"config key 'train.batch_size': {config.train.batch_size} is no multiple of {unit} "
            f"(mesh.data x mesh.fsdp = {shards}, train.accumulation = {config.train.accumulation}); "
            f"try --config.train.batch_size={nearest}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The batch axis over ``data`` and ``fsdp``; other dimensions whole."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())
