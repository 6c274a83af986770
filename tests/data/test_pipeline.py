"""Batches: the same whatever reads them, and from wherever."""

import collections
import dataclasses
import tracemalloc

import jax
import numpy as np
import pytest

from dfjax import config
from dfjax.data import pipeline, sources
from dfjax.data.errors import DataError
from dfjax.data.prefetch import Prefetch
from tests.data import tiny

BATCH = 6


def _batches(data, count, **options):
    options = {"seed": 1, "batch_size": BATCH, "sharding": tiny.sharding()} | options
    source = sources.open_source(data, "train")
    with pipeline.training_batches(source, tiny.inputs(source), data, **options) as batches:
        return [next(batches) for _ in range(count)]


def _same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.bad == other.bad
        assert one.cut_captions == other.cut_captions
        jax.tree.map(np.testing.assert_array_equal, one.arrays, other.arrays)


def test_a_batch_has_bytes_and_ids(tiny_data):
    (batch,) = _batches(tiny_data, 1)
    assert batch.arrays["image"].shape == (BATCH, 8, 8, 3)
    assert batch.arrays["image"].dtype == np.uint8
    assert batch.arrays["tokens"].shape == (BATCH, tiny.Letters.LENGTH)
    assert batch.arrays["tokens"].dtype == np.int32


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(tiny_data, workers):
    _same(_batches(tiny_data, 5), _batches(dataclasses.replace(tiny_data, workers=workers), 5))


def test_going_on_from_a_position_gives_what_would_have_come(tiny_data):
    _same(_batches(tiny_data, 9)[6:], _batches(tiny_data, 3, position=6 * BATCH))


def test_a_far_position_is_reached_at_once(tiny_data):
    assert len(_batches(tiny_data, 1, position=BATCH * 10**8)) == 1


def test_a_position_between_two_batches_is_refused(tiny_data):
    with pytest.raises(DataError, match="7 is no multiple of 6"):
        _batches(tiny_data, 1, position=7)


def test_another_seed_is_another_order(tiny_data):
    one, other = _batches(tiny_data, 1)[0], _batches(tiny_data, 1, seed=2)[0]
    assert not np.array_equal(one.arrays["image"], other.arrays["image"])


def test_rows_do_not_depend_on_how_the_batch_is_split(tiny_data):
    """A process that owns some rows reads just those of the whole batch."""
    examples = pipeline.training_examples(sources.open_source(tiny_data, "train"), tiny.inputs(), tiny_data, 1)
    whole = pipeline._Steps(examples, BATCH, list(range(BATCH)))
    for rows in ([0, 1, 2], [3, 4, 5], [5, 0]):
        part = pipeline._Steps(examples, BATCH, rows)
        for step in (0, 4, 1000):
            np.testing.assert_array_equal(part[step]["arrays"]["image"], whole[step]["arrays"]["image"][rows])
            np.testing.assert_array_equal(part[step]["arrays"]["tokens"], whole[step]["arrays"]["tokens"][rows])


def test_a_position_is_what_its_index_says(tiny_data):
    source = sources.open_source(tiny_data, "train")
    data = dataclasses.replace(tiny_data, flip=False, vary_captions=False)
    examples = pipeline.training_examples(source, tiny.inputs(source), data, 3)
    for position in (0, 5, 100):
        record = source[pipeline.position_to_index(len(source), 3, position)]
        assert examples[position].caption == record.text.replace("_", " ")


def test_each_epoch_is_a_new_permutation():
    size = 50
    epochs = [[pipeline.position_to_index(size, 7, epoch * size + i) for i in range(size)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    next_seed = [pipeline.position_to_index(size, 8, i) for i in range(size)]
    assert next_seed not in epochs


def test_a_record_is_said_and_turned_anew_in_each_epoch(tiny_data):
    source = sources.open_source(tiny_data, "train")
    examples = pipeline.training_examples(source, tiny.inputs(), tiny_data, 0)
    said = collections.defaultdict(set)
    for position in range(20 * len(source)):
        said[pipeline.position_to_index(len(source), 0, position)].add(examples[position].caption)
    assert np.mean([len(captions) for captions in said.values()]) > 2


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_records_are_replaced_and_listed(damaged_data, workers):
    data = dataclasses.replace(damaged_data, workers=workers)
    batches = _batches(data, 4)  # 24 rows: an epoch and one.
    bad = dict(pair for batch in batches for pair in batch.bad)
    assert len(bad) == 3
    assert all(name.startswith("tiny_labelled/train[") for name in bad)
    assert all("no picture in" in reason for reason in bad.values())
    _same(batches, _batches(data, 4))


def test_cut_captions_are_counted(tiny_data):
    batches = _batches(tiny_data, 20)
    longest = tiny.Letters().encode("a picture of a red panda")
    seen = sum((np.asarray(batch.arrays["tokens"]) == longest).all(axis=-1).sum() for batch in batches)
    assert sum(batch.cut_captions for batch in batches) == seen > 0


def test_validation_shows_each_record_once_in_order_and_masks_the_rest(tiny_data):
    source = sources.open_source(tiny_data, "test")
    options = {"batch_size": 10, "limit": 1000, "sharding": tiny.sharding()}
    batches = list(pipeline.fixed_batches(source, tiny.inputs(), tiny_data, **options))
    assert [float(batch.arrays["mask"].sum()) for batch in batches] == [10, 10, 3]
    assert batches[-1].arrays["image"].shape == (10, 8, 8, 3)
    levels = np.concatenate([np.asarray(batch.arrays["image"])[:, 0, 0, 0] for batch in batches])[: len(source)]
    assert sorted(levels) == [10 * i for i in range(23)]
    _same(batches, list(pipeline.fixed_batches(source, tiny.inputs(), tiny_data, **options)))


def test_a_limit_spreads_validation_over_the_split():
    assert pipeline.spread(100, 5) == [0, 20, 40, 60, 80]
    assert pipeline.spread(3, 5) == [0, 1, 2]


def test_captions_to_learn_from_are_all_there_and_none_twice(tiny_data):
    said = pipeline.example_captions(sources.open_source(tiny_data, "train"), limit=1000)
    assert len(set(said)) == len(said)
    assert {"red panda", "an owl", "a picture of a deer"} <= set(said)
    assert len(pipeline.example_captions(sources.open_source(tiny_data, "train"), limit=2)) <= 2


class TenMillion:
    """As much of a source as an order needs."""

    def __len__(self):
        return 10_000_000


def test_an_order_of_ten_million_records_costs_no_memory():
    tracemalloc.start()
    try:
        pipeline.training_examples(TenMillion(), tiny.inputs(), config.Data(), 0)
        positions = [*range(500), *range(9_999_500, 10_000_000)]
        indices = [pipeline.position_to_index(10_000_000, 0, position) for position in positions]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A table of it would hold 80 MB.
    assert peak < 1e6
    assert len(set(indices)) == len(indices)
    assert min(indices) < 1_000_000 < 9_000_000 < max(indices)


def test_an_error_in_the_background_comes_out_in_its_place():
    def fail_at_three(item):
        if item == 3:
            raise OSError("torn")
        return item

    with Prefetch(iter(range(10)), fail_at_three) as ahead:
        assert [next(ahead) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="torn"):
            next(ahead)
        assert list(ahead) == []


def test_a_finite_iterator_ends_and_closing_twice_is_fine():
    ahead = Prefetch(iter("abc"), str.upper)
    assert list(ahead) == ["A", "B", "C"]
    ahead.close()
    ahead.close()
    assert list(ahead) == []
