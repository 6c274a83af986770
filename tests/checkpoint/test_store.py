"""Checkpoints: whole or not there, and nothing in them is code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.checkpoint.store import CheckpointError, Checkpoints, versions
from tests import small
from tests.checkpoint.conftest import arrays, save, shapes


def _restore(room, step, wanted=None):
    with Checkpoints(room.checkpoints) as checkpoints:
        return checkpoints.arrays(step, shapes(arrays(0)) if wanted is None else wanted)


def test_what_was_saved_comes_back_to_the_bit(saved):
    for step in (10, 20):
        jax.tree.map(np.testing.assert_array_equal, _restore(saved, step), arrays(step))
    with Checkpoints(saved.checkpoints) as checkpoints:
        assert checkpoints.steps() == [10, 20]
        assert checkpoints.tokenizer(10) == b"\x00tokenizer"
        assert checkpoints.config(20) == small.config()
        meta = checkpoints.meta(20)
    assert meta["step"] == 20
    assert meta["versions"] == versions()
    assert set(versions()) >= {"jax", "jaxlib", "flax", "optax"}


def test_one_item_can_be_restored_alone(saved):
    only = _restore(saved, 20, {"ema": shapes(arrays(0)["ema"])})
    assert list(only) == ["ema"]
    np.testing.assert_array_equal(only["ema"]["a"]["kernel"], 20.0)


def test_shapes_are_told_without_reading(saved):
    with Checkpoints(saved.checkpoints) as checkpoints:
        told = checkpoints.array_shapes(20, "optimizer")
    assert told["mu"]["a"]["kernel"].shape == (4, 3)
    assert told["count"].dtype == jnp.int32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda leaf: jax.ShapeDtypeStruct((4, 5), leaf.dtype), r"float32\[4, 5\] and it holds float32\[4, 3\]"),
        (lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16), r"bfloat16\[4, 3\] and it holds float32\[4, 3\]"),
        (lambda leaf: {"deeper": leaf}, "it holds nothing"),
    ],
    ids=["shape", "type", "name"],
)
def test_a_checkpoint_of_another_model_is_refused_by_name(change, words, saved):
    wanted = shapes(arrays(0)["ema"])
    wanted["a"]["kernel"] = change(wanted["a"]["kernel"])
    with pytest.raises(CheckpointError, match=f"is of another model: ema/a/kernel.*{words}"):
        _restore(saved, 20, {"ema": wanted})


def test_what_a_checkpoint_holds_and_nobody_wants_is_refused_too(saved):
    wanted = shapes(arrays(0)["ema"])
    del wanted["bias"]
    with pytest.raises(CheckpointError):
        _restore(saved, 20, {"ema": wanted})


def _data_files(folder):
    """Files of array data, largest first."""
    files = [path for path in folder.rglob("*") if path.is_file() and "/d/" in str(path)]
    return sorted(files, key=lambda path: -path.stat().st_size)


@pytest.mark.parametrize("harm", ["cut", "gone", "other bytes"])
def test_damaged_arrays_are_told_in_words_with_the_way_back(harm, room):
    victims = _data_files(room.checkpoints / "step_20" / "params")
    assert victims
    for path in victims:
        if harm == "gone":
            path.unlink()
        else:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2] if harm == "cut" else bytes(255 - byte for byte in whole))
    with pytest.raises(CheckpointError, match=r"step_20 is damaged \(.*\); delete that folder to go on from step 10"):
        _restore(room, 20)
    assert _restore(room, 10)["optimizer"]["count"] == 10


def test_damaged_words_are_told_too(room):
    (room.checkpoints / "step_20" / "meta" / "metadata").write_text("{")
    with Checkpoints(room.checkpoints) as checkpoints, pytest.raises(CheckpointError, match="step_20 is damaged"):
        checkpoints.meta(20)


def test_the_last_ones_and_every_so_many_are_kept(room):
    save(room, (30, 40, 50, 60), keep_every_steps=20)
    assert room.steps() == [20, 40, 50, 60]


def test_reading_deletes_nothing(room):
    save(room, (30, 40), keep_last=9)
    with Checkpoints(room.checkpoints) as checkpoints:
        assert checkpoints.steps() == [10, 20, 30, 40]
    assert room.steps() == [10, 20, 30, 40]


def test_a_step_that_is_there_is_left_alone(room):
    with Checkpoints(room.checkpoints, keep_last=2) as checkpoints:
        checkpoints.save(20, arrays(99), {"config": {}}, b"")
    assert _restore(room, 20)["optimizer"]["count"] == 20


def test_a_save_that_was_killed_is_not_there_and_is_cleaned_away(room):
    left = (room.checkpoints / "step_20").rename(room.checkpoints / "step_30.orbax-checkpoint-tmp")
    assert room.steps() == [10]
    with Checkpoints(room.checkpoints) as checkpoints:
        assert checkpoints.steps() == [10]
    assert left.exists()  # Reading deletes nothing: another process may be saving.
    with Checkpoints(room.checkpoints, keep_last=2) as checkpoints:
        assert checkpoints.steps() == [10]
        assert not left.exists()


def test_nothing_inside_is_a_pickle(saved):
    files = [path for path in saved.checkpoints.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix not in (".pkl", ".pickle", ".npy", ".py"), path
        # Every pickle since 2002 starts with its protocol's number.
        assert path.read_bytes()[:1] != b"\x80", path
