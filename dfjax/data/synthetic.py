"""Batches of random numbers of the right shapes: to try a recipe, or time a step, where there is no data for it."""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dfjax.data.pipeline import Batch, owned_rows
from dfjax.data.prefetch import Prefetch
from dfjax.inputs.spec import sized

NAME = "synthetic"
# What the tokenizer is learned from.
CAPTIONS = [f"a {colour} {thing}" for colour in ("red", "green", "blue") for thing in ("circle", "square", "star")]


def batches(
    spec: Mapping[str, jax.ShapeDtypeStruct], seed: int, vocab_size: int, sharding: NamedSharding, *, start: int = 0
) -> Prefetch[Batch]:
    """Endless batches from step ``start`` on; each row is a function of (seed, its position), whatever the hosts.

    Args:
      spec: the global batch's arrays by name, as of :meth:`dfjax.inputs.spec.Inputs.batch`: uint8 and floats are
        random, int32 are ids in [1, vocab_size), booleans are masks of at least one True, at the front.
    """
    total = sized(spec)
    rows = owned_rows(sharding, total)

    def read() -> Iterator[dict[str, np.ndarray]]:
        step = start
        while True:
            made = [_row(spec, np.random.default_rng([seed, step * total + row]), vocab_size) for row in rows]
            yield {name: np.stack([row[name] for row in made]) for name in spec}
            step += 1

    def place(local: Mapping[str, np.ndarray]) -> Batch:
        split = sharding.spec
        arrays = {
            name: jax.make_array_from_process_local_data(
                NamedSharding(sharding.mesh, PartitionSpec(*split, *[None] * (value.ndim - len(split)))),
                value,
                spec[name].shape,
            )
            for name, value in local.items()
        }
        return Batch(arrays, [], 0)

    return Prefetch(read(), place)


def _row(spec: Mapping[str, jax.ShapeDtypeStruct], rng: np.random.Generator, vocab_size: int) -> dict[str, np.ndarray]:
    return {name: _values(one.shape[1:], one.dtype, rng, vocab_size) for name, one in spec.items()}


def _values(shape: tuple[int, ...], dtype: jnp.dtype, rng: np.random.Generator, vocab_size: int) -> np.ndarray:
    if dtype == jnp.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if dtype == jnp.int32:
        return rng.integers(1, max(vocab_size, 2), shape, dtype=np.int32)
    if dtype == jnp.bool and shape:
        return np.arange(shape[0]) < rng.integers(1, shape[0] + 1)
    return np.asarray(rng.standard_normal(shape, np.float32)).astype(dtype)
