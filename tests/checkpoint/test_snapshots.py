"""Snapshots of averages: whole or not there, all of them kept."""

import jax
import numpy as np
import pytest

from dfjax.checkpoint.snapshots import Reconstructed, Snapshots
from dfjax.checkpoint.store import CheckpointError
from dfjax.checkpoint.workdir import Workdir
from tests.checkpoint.conftest import arrays, shapes, snapshot


@pytest.fixture
def room(tmp_path):
    """Snapshots of steps 1 to 4."""
    room = Workdir(tmp_path)
    for step in range(1, 5):
        snapshot(room, step, {std: arrays(step + std)["ema"] for std in (0.05, 0.1)})
    return room


def _read(room, step):
    with Snapshots(room.snapshots) as snapshots:
        return snapshots.read(step, {std: shapes(arrays(0)["ema"]) for std in snapshots.lengths(step)})


def test_every_snapshot_is_kept_and_comes_back_by_length(room):
    for step in range(1, 5):
        found = _read(room, step)
        assert set(found) == {0.05, 0.1}
        for std, tree in found.items():
            jax.tree.map(np.testing.assert_array_equal, tree, arrays(step + std)["ema"])
    with Snapshots(room.snapshots) as snapshots:
        assert snapshots.steps() == [1, 2, 3, 4]
        assert snapshots.tokenizer(2) == b"\x00tokenizer"


def test_a_save_that_was_killed_is_never_read_and_is_cleaned_away(room):
    left = (room.snapshots / "step_4").rename(room.snapshots / "step_4.orbax-checkpoint-tmp")
    with Snapshots(room.snapshots) as snapshots:
        assert snapshots.steps() == [1, 2, 3]
    assert left.exists()  # Reading deletes nothing: another process may be saving.
    snapshot(room, 4, {0.05: arrays(7)["ema"]})
    assert not left.exists()
    np.testing.assert_array_equal(_read(room, 4)[0.05]["a"]["kernel"], 7.0)


def test_a_run_that_goes_on_makes_the_later_ones_anew(room):
    with Snapshots(room.snapshots, write=True) as snapshots:
        snapshots.forget_after(2)
        assert snapshots.steps() == [1, 2]
    snapshot(room, 3, {0.05: arrays(7)["ema"]})
    np.testing.assert_array_equal(_read(room, 3)[0.05]["a"]["kernel"], 7.0)


def test_a_step_before_the_newest_can_be_saved(room):
    with Snapshots(room.snapshots, write=True) as snapshots:
        snapshots.delete(2)
    snapshot(room, 2, {0.05: arrays(7)["ema"]})
    np.testing.assert_array_equal(_read(room, 2)[0.05]["a"]["kernel"], 7.0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Snapshots, "the snapshot .*step_2 is damaged .*; delete that folder to average without it"),
        (Reconstructed, "the average .*step_2 is damaged .*; `dfjax average` makes it anew"),
    ],
)
def test_a_damaged_one_is_told_in_words(kind, words, room):
    for path in (room.snapshots / "step_2" / "averages").rglob("*"):
        if path.is_file() and "/d/" in str(path):
            path.unlink()
    with kind(room.snapshots) as store, pytest.raises(CheckpointError, match=words):
        store.read(2, {std: shapes(arrays(0)["ema"]) for std in (0.05, 0.1)})
