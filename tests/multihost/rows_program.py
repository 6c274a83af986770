"""One of two processes of test_rows.py: compares its part of the global batches with those of one process alone."""

import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax import config
from dfjax.data import pipeline, sources
from dfjax.training import step
from tests.data import tiny

BATCH, STEPS = 8, 4


def main(address: str, rank: str, layout: str, folder: str) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=int(rank), initialization_timeout=60)
    # Ids of another process's devices are not small numbers: go by their order.
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    order = [[int(i) for i in row.split(",")] for row in layout.split(";")]
    grid = np.array([[devices[i] for i in row] for row in order]).reshape(2, 1, 2)
    shared = NamedSharding(Mesh(grid, ("data", "fsdp", "tensor")), PartitionSpec(("data", "fsdp")))
    alone = NamedSharding(Mesh([[jax.local_devices()[0]]], ("data", "fsdp")), PartitionSpec(("data", "fsdp")))

    data = config.Data(name="tiny_labelled", dir=folder, resolution=8, workers=0, flip=True, vary_captions=True)
    source = sources.open_source(data, "train")
    compare(some_batches(source, data, shared), some_batches(source, data, alone))
    for density in config.FIELDS["diffusion.timesteps"].metadata["choices"]:
        same_shards(levels(density, shared), levels(density, alone))
    print("rows agree", flush=True)


def levels(density: str, sharding) -> jax.Array:
    """The noise levels of a global batch, each process making its own rows'."""
    made = config.resolve({"train": {"batch_size": BATCH}, "diffusion": {"timesteps": density}})
    rows = np.arange(BATCH, dtype=np.int32)
    index = jax.make_array_from_callback(rows.shape, sharding, lambda part: rows[part])
    draw = jax.jit(lambda index: step.draw(made, 3, 1, index, (1, 1, 1)).t, out_shardings=sharding)
    return draw(index)


def some_batches(source, data, sharding) -> list[pipeline.Batch]:
    """Some batches of training, and all of validation."""
    options = {"batch_size": BATCH, "sharding": sharding}
    with pipeline.training_batches(source, tiny.inputs(source), data, seed=0, **options) as ahead:
        training = [next(ahead) for _ in range(STEPS)]
    return training + list(pipeline.fixed_batches(source, tiny.inputs(source), data, limit=100, **options))


def compare(got: list[pipeline.Batch], expected: list[pipeline.Batch]) -> None:
    assert len(got) == len(expected) > STEPS
    for one, other in zip(got, expected, strict=True):
        for name, array in one.arrays.items():
            same_shards(array, other.arrays[name])


def same_shards(array: jax.Array, expected: jax.Array) -> None:
    """Each shard of this process holds what the whole array, held by one process alone, has there."""
    whole = np.asarray(expected)
    assert array.shape == whole.shape
    assert array.addressable_shards
    for shard in array.addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data), whole[shard.index])


if __name__ == "__main__":
    main(*sys.argv[1:])
