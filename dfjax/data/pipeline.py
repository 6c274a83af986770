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
from typing import Any, Protocol

import grain
import jax
import numpy as np
from absl import flags
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Int32, UInt8

from dfjax import config
from dfjax.data import captions, sources, transforms
from dfjax.data.errors import DataError
from dfjax.data.pictures import Pictures
from dfjax.data.prefetch import Prefetch
from dfjax.data.records import Record

# How often a worker looks whether its run is still there.
_FOLLOW_SECONDS = 1.0


class Tokenizer(Protocol):
    """What the pipeline needs of a tokenizer; it must be picklable."""

    def encode(self, text: str) -> Int32[np.ndarray, "length"]: ...

    def is_cut(self, text: str) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Batch:
    """A global batch.

    Attributes:
      arrays: "image" uint8 (batch, height, width, 3) and "tokens" int32 (batch, length), sharded over the batch;
        in validation also "mask" float32 (batch,), 0 for rows that only fill the last batch up.
      bad: (id, reason) of each record that was replaced, among the rows that this process read.
      cut_captions: how many captions lost their end, among the rows that this process read.
    """

    arrays: dict[str, jax.Array]
    bad: list[tuple[str, str]]
    cut_captions: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One row: uint8 image (height, width, 3), int32 tokens (length,), and what there is to tell about it."""

    image: UInt8[np.ndarray, "height width 3"]
    tokens: Int32[np.ndarray, "length"]
    caption: str
    is_cut: bool
    bad: list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Notes:
    """What is told about the rows of a batch. A class of its own, so that Grain does not look for arrays in it."""

    bad: list[tuple[str, str]]
    cut_captions: int


def position_to_index(size: int, seed: int, position: int) -> int:
    """Index of the record at a position of the endless training sequence: each epoch is a new permutation."""
    return _order(size, seed)[position]


def training_examples(
    source: sources.RecordSource, tokenizer: Tokenizer, data: config.Data, seed: int
) -> grain.MapDataset:
    """The endless training sequence: ``examples[position]`` is an :class:`Example`, a function of (seed, position)."""
    draw = functools.partial(_draw, Pictures(source, data.resolution, data.max_pixels), tokenizer, data)
    return _order(len(source), seed).random_map(draw)


def training_batches(
    source: sources.RecordSource,
    tokenizer: Tokenizer,
    data: config.Data,
    *,
    seed: int,
    batch_size: int,
    sharding: NamedSharding,
    position: int = 0,
) -> Prefetch[Batch]:
    """The batches of training from ``position`` on: endless, read ahead, to be closed (it is a context manager).

    Args:
      source, tokenizer: where records come from and how captions become ids.
      seed: of the order and of every draw.
      batch_size: rows of a global batch, over all processes.
      sharding: of the batch axis, such as ``P(("data", "fsdp"))`` over a mesh that may span processes.
      position: number of records consumed so far, a multiple of ``batch_size``. Starting late costs nothing.

    Raises:
      DataError: ``position`` is between two batches, or ``batch_size`` cannot be split over the mesh.
    """
    if position % batch_size:
        raise DataError(f"training can only go on from a whole batch: {position} is no multiple of {batch_size}")
    rows = owned_rows(sharding, batch_size)
    examples = training_examples(source, tokenizer, data, seed)
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
    source: sources.RecordSource,
    tokenizer: Tokenizer,
    data: config.Data,
    *,
    batch_size: int,
    limit: int,
    sharding: NamedSharding,
) -> Iterator[Batch]:
    """The same records each time, for validation: in order, canonical captions, no augmentation, each once.

    At most ``limit`` records, spread evenly over the source. The last batch is filled up with rows of mask 0.
    """
    indices = spread(len(source), limit)
    rows = owned_rows(sharding, batch_size)
    empty = Example(
        image=np.zeros((data.resolution, data.resolution, 3), np.uint8),
        tokens=np.zeros_like(tokenizer.encode("")),
        caption="",
        is_cut=False,
        bad=[],
    )
    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        batch = _stack([_plain(source, tokenizer, data, chosen[row]) if row < len(chosen) else empty for row in rows])
        batch["mask"] = np.array([row < len(chosen) for row in rows], np.float32)
        yield _global_batch(batch, rows=rows, batch_size=batch_size, sharding=sharding)


def example_captions(source: sources.RecordSource, limit: int = 1_000_000) -> list[str]:
    """Captions to learn a tokenizer from: each record's own, then its other wordings and colours; none twice.

    The same for every seed. Of a large data set ``limit`` captions, spread evenly over it.
    """
    own: dict[str, None] = {}
    other: dict[str, None] = {}
    for index in spread(len(source), limit):
        record, _ = sources.read(source, index, lambda record: record)
        own[captions.canonical(record)] = None
        if len(own) + len(other) < limit:
            other.update(dict.fromkeys(captions.variants(record)))
            for colour in captions.colours(record):
                other.update(dict.fromkeys(captions.coloured(record, colour)))
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


def _draw(pictures: Pictures, tokenizer: Tokenizer, data: config.Data, index: int, rng: np.random.Generator) -> Example:
    """A training example: caption, hue and mirroring drawn from ``rng``."""
    flip = bool(rng.random() < 0.5) and data.flip
    state = rng.bit_generator.state

    def use(shown: tuple[Record, UInt8[np.ndarray, "height width 3"]]) -> Example:
        record, pixels = shown
        rng.bit_generator.state = state  # A record that replaces a damaged one meets the same draws.
        caption, colour = captions.choose(record, data, rng)
        image = transforms.vary(pixels, flip=flip, colour=colour)
        return Example(image, tokenizer.encode(caption), caption, tokenizer.is_cut(caption), [])

    example, bad = sources.read(pictures, index, use)
    return dataclasses.replace(example, bad=bad)


def _plain(source: sources.RecordSource, tokenizer: Tokenizer, data: config.Data, index: int) -> Example:
    """An example as the data set has it."""

    def use(record: Record) -> Example:
        caption = captions.canonical(record)
        image = transforms.render(record.image, data.resolution, data.max_pixels)
        return Example(image, tokenizer.encode(caption), caption, tokenizer.is_cut(caption), [])

    example, bad = sources.read(source, index, use)
    return dataclasses.replace(example, bad=bad)


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
        "image": np.stack([example.image for example in examples]),
        "tokens": np.stack([example.tokens for example in examples]),
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

    notes = local["notes"]
    arrays = {name: array(values) for name, values in local.items() if name != "notes"}
    return Batch(arrays, notes.bad, notes.cut_captions)
