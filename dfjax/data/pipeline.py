"""Records to global batches: which record stands at which position, and which rows this process reads.

The record at position p = step * batch_size + row, with everything drawn for it, is a function of (seed, p). So the
batch of a step does not depend on the number of processes, workers or devices, nor on where training was resumed.
"""

import dataclasses
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grain
import jax
import numpy as np
from absl import flags
from jax.sharding import NamedSharding, PartitionSpec

from dfjax import config
from dfjax.data import transforms
from dfjax.data.errors import DataError
from dfjax.data.pictures import Pictures
from dfjax.data.prefetch import Prefetch
from dfjax.data.source import Picture, Record, Source, check_columns, read
from dfjax.inputs.spec import Inputs, Row

# How often a worker looks whether its run is still there.
_FOLLOW_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Batch:
    """A global batch.

    Attributes:
      arrays: those of its inputs' spec, [batch, ...], sharded over the batch; in validation also "mask" float32
        (batch,), 0 for rows that only fill the last batch up.
      bad: (id, reason) of each record that was replaced, among the rows that this process read.
      cut_captions: how many captions lost their end, among the rows that this process read.
    """

    arrays: dict[str, jax.Array]
    bad: list[tuple[str, str]]
    cut_captions: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One row: the arrays of its inputs' spec, and what there is to tell about it."""

    row: Row
    caption: str = ""
    is_cut: bool = False
    bad: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Notes:
    """What is told about the rows of a batch. A class of its own, so that Grain does not look for arrays in it."""

    bad: list[tuple[str, str]]
    cut_captions: int


def position_to_index(size: int, seed: int, position: int) -> int:
    """Index of the record at a position of the endless training sequence: each epoch is a new permutation."""
    return _order(size, seed)[position]


def training_examples(source: Source, inputs: Inputs, data: config.Data, seed: int) -> grain.MapDataset:
    """The endless training sequence: ``examples[position]`` is an :class:`Example`, a function of (seed, position)."""
    check_columns(inputs)
    draw = functools.partial(_draw, _pictures(source, inputs, data), inputs, data)
    return _order(len(source), seed).random_map(draw)


def training_batches(
    source: Source,
    inputs: Inputs,
    data: config.Data,
    *,
    seed: int,
    batch_size: int,
    sharding: NamedSharding,
    position: int = 0,
) -> Prefetch[Batch]:
    """The batches of training from ``position`` on: endless, read ahead, to be closed (it is a context manager).

    Args:
      source, inputs: where records come from, and what arrays are made of them.
      seed: of the order and of every draw.
      batch_size: rows of a global batch, over all processes.
      sharding: of the batch axis, such as ``P(("data", "fsdp"))`` over a mesh that may span processes.
      position: number of records consumed so far, a multiple of ``batch_size``. Starting late costs nothing.

    Raises:
      DataError: ``position`` is between two batches, ``batch_size`` cannot be split over the mesh, or a column of the
        source has a name that is taken.
    """
    if position % batch_size:
        raise DataError(f"training can only go on from a whole batch: {position} is no multiple of {batch_size}")
    rows = owned_rows(sharding, batch_size)
    examples = training_examples(source, inputs, data, seed)
    steps = grain.MapDataset.source(_Steps(examples, batch_size, rows))[position // batch_size :]
    if data.workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain hands absl's flags to its workers, and a library call has none.
    dataset = steps.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    if data.workers:
        options = grain.MultiprocessingOptions(num_workers=data.workers, per_worker_buffer_size=2)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_serve_the_run)
    to_global = functools.partial(_global_batch, rows=rows, batch_size=batch_size, sharding=sharding)
    return Prefetch(iter(dataset), to_global)


def fixed_batches(
    source: Source,
    inputs: Inputs,
    data: config.Data,
    *,
    batch_size: int,
    limit: int,
    sharding: NamedSharding,
) -> Iterator[Batch]:
    """The same records each time, for validation: in order, canonical captions, no augmentation, each once.

    At most ``limit`` records, spread evenly over the source. The last batch is filled up with rows of mask 0.
    """
    check_columns(inputs)
    pictures, empty = _pictures(source, inputs, data), Example(inputs.empty())
    indices, rows = spread(len(source), limit), owned_rows(sharding, batch_size)
    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        local = _stack([_plain(pictures, inputs, chosen[row]) if row < len(chosen) else empty for row in rows])
        local["arrays"]["mask"] = np.array([row < len(chosen) for row in rows], np.float32)
        yield _global_batch(local, rows=rows, batch_size=batch_size, sharding=sharding)


def example_captions(source: Source, limit: int = 1_000_000) -> list[str]:
    """Captions to learn a tokenizer from: each record's own, then all others that it may be given; none twice.

    The same for every seed. Of a large data set ``limit`` captions, spread evenly over it.
    """
    own: dict[str, None] = {}
    other: dict[str, None] = {}
    for index in spread(len(source), limit):
        said, _ = read(source, index, source.captions)
        own[said[0]] = None
        if len(own) + len(other) < limit:
            other.update(dict.fromkeys(said))
    return list(own | other)[:limit]


def spread(size: int, limit: int) -> list[int]:
    """At most ``limit`` indices below ``size``, in order and evenly spread."""
    count = min(size, limit)
    return [i * size // count for i in range(count)]


def owned_rows(sharding: NamedSharding, batch_size: int) -> list[int]:
    """The rows of a global batch that this process's devices hold, each once, in order.

    Raises:
      DataError: the batch cannot be split evenly over the mesh.
    """
    try:
        indices = sharding.addressable_devices_indices_map((batch_size,)).values()
    except ValueError as error:
        raise DataError(f"train.batch_size {batch_size} cannot be split over the mesh: {error}") from error
    return sorted({row for index in indices if index for row in range(*index[0].indices(batch_size))})


def _serve_the_run(*_: int) -> None:
    """What a worker does first.

    Launchers and terminals signal a whole group; a run that is told to end still needs its workers to save. But when it
    is gone, however that came, they go too: Grain's workers would stay, with their memory and the log's pipe.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = os.getppid()

    def follow() -> None:
        while os.getppid() == run:
            time.sleep(_FOLLOW_SECONDS)
        os._exit(1)

    threading.Thread(target=follow, name="dfjax-follow", daemon=True).start()


def _order(size: int, seed: int) -> grain.MapDataset:
    # `.seed(s).shuffle()` and not `.shuffle(seed=s)`: there epoch 1 of seed s is epoch 0 of seed s + 1.
    return grain.MapDataset.range(size).seed(seed).shuffle().repeat()


def _pictures(source: Source, inputs: Inputs, data: config.Data) -> Pictures:
    return Pictures(source, inputs.codec.picture, data.max_pixels)


def _draw(pictures: Pictures, inputs: Inputs, data: config.Data, index: int, rng: np.random.Generator) -> Example:
    """A training example: mirroring, caption and what else its source varies drawn from ``rng``."""
    flip = bool(rng.random() < 0.5) and data.flip
    state = rng.bit_generator.state

    def use(shown: tuple[Record, Picture | None]) -> Example:
        record, pixels = shown
        rng.bit_generator.state = state  # A record that replaces a damaged one meets the same draws.
        varied = pictures.source.vary(record, data, rng)
        if pixels is not None:
            pixels = varied.change(pixels) if varied.change else pixels
            pixels = transforms.mirror(pixels) if flip else pixels
        return _example(inputs, record, pixels, varied.caption)

    example, bad = read(pictures, index, use)
    return dataclasses.replace(example, bad=bad)


def _plain(pictures: Pictures, inputs: Inputs, index: int) -> Example:
    """An example as the data set has it."""

    def use(shown: tuple[Record, Picture | None]) -> Example:
        return _example(inputs, *shown, pictures.source.captions(shown[0])[0])

    example, bad = read(pictures, index, use)
    return dataclasses.replace(example, bad=bad)


def _example(inputs: Inputs, record: Record, pixels: Picture | None, caption: str) -> Example:
    row = inputs.row(pixels, caption, dict(record.columns))
    return Example(row, caption, inputs.conditioner.is_cut(caption))


@dataclasses.dataclass(frozen=True)
class _Steps:
    """A data source whose item number ``step`` holds this process's rows of that step's batch."""

    examples: grain.MapDataset
    batch_size: int
    rows: list[int]

    def __len__(self) -> int:
        return len(self.examples) // self.batch_size

    def __getitem__(self, step: int) -> dict[str, Any]:
        return _stack([self.examples[step * self.batch_size + row] for row in self.rows])


def _stack(examples: list[Example]) -> dict[str, Any]:
    return {
        "arrays": {name: np.stack([example.row[name] for example in examples]) for name in examples[0].row},
        "notes": Notes(
            bad=[pair for example in examples for pair in example.bad],
            cut_captions=sum(example.is_cut for example in examples),
        ),
    }


def _global_batch(local: Mapping[str, Any], *, rows: list[int], batch_size: int, sharding: NamedSharding) -> Batch:
    """Put this process's rows onto its devices, as its part of the global arrays. Talks to no other process."""
    place = {row: i for i, row in enumerate(rows)}

    def array(values: np.ndarray) -> jax.Array:
        shape = (batch_size, *values.shape[1:])
        spec = PartitionSpec(*sharding.spec, *[None] * (len(shape) - len(sharding.spec)))

        def rows_of(index: tuple[slice, ...] | None) -> np.ndarray:
            if index is None:
                raise AssertionError("only devices of this process are asked for")
            return values[[place[row] for row in range(*index[0].indices(batch_size))]]

        return jax.make_array_from_callback(shape, NamedSharding(sharding.mesh, spec), rows_of)

    arrays = {name: array(values) for name, values in local["arrays"].items()}
    return Batch(arrays, local["notes"].bad, local["notes"].cut_captions)
