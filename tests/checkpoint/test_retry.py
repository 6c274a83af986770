"""Storage that fails: told in words, tried again, and what was saved before stays whole.

The limit on the size of a file is real to all that writes, TensorStore's C++ included, and needs no root.
"""

import contextlib
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.checkpoint import inventory
from dfjax.checkpoint.retry import Saver
from dfjax.checkpoint.store import Checkpoints, SaveError
from tests import small
from tests.checkpoint.conftest import shapes


@contextlib.contextmanager
def failing(limit=20_000):
    """No file may become larger than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _arrays(step):
    """Of a megabyte that does not compress."""
    tree = {"kernel": jax.random.normal(jax.random.key(step), (256, 1024))}
    return {"params": tree, "ema": tree, "optimizer": {"count": jnp.int32(step)}}


def _start(checkpoints, step):
    return lambda: checkpoints.save(step, _arrays(step), {"config": small.config().to_dict()}, b"\x00tokenizer")


@pytest.fixture
def checkpoints(room):
    """For writing, after a whole one of step 30."""
    with Checkpoints(room.checkpoints, keep_last=2) as checkpoints:
        _start(checkpoints, 30)()
        checkpoints.wait()
        yield checkpoints


def test_a_save_that_fails_is_told_in_words_and_leaves_what_was_there(checkpoints, room):
    with failing():
        _start(checkpoints, 40)()
        with pytest.raises(SaveError, match=r"step_40 could not be written: files may not become.*B are free there"):
            checkpoints.wait()
    assert checkpoints.steps() == room.steps() == [20, 30]
    assert inventory.verify(room, 30) == []
    wanted = shapes(_arrays(0))
    jax.tree.map(np.testing.assert_array_equal, checkpoints.arrays(30, wanted), _arrays(30))
    # The same store saves again where it can.
    _start(checkpoints, 41)()
    checkpoints.wait()
    assert room.steps() == [30, 41]
    assert not list(room.checkpoints.glob("*tmp*"))


def test_it_is_tried_again_from_a_later_state(checkpoints, room, caplog):
    saver = Saver(checkpoints, tries=3, first_pause_seconds=0.0)
    with failing():
        saver.save(_start(checkpoints, 40))
        while not saver.is_due_again():
            pass
    saver.save(_start(checkpoints, 43))
    assert saver.settle()
    assert not saver.is_due_again()
    assert room.steps() == [30, 43]
    assert "try 2 of 3 comes in 0 s" in caplog.text


def test_before_the_pause_is_over_it_is_not_tried(checkpoints):
    saver = Saver(checkpoints, tries=3, first_pause_seconds=3600.0)
    with failing():
        saver.save(_start(checkpoints, 40))
        assert not saver.settle()
    assert not saver.is_due_again()
    # Nor where another save is due meanwhile: so many tries would be gone in no time.
    saver.save(_start(checkpoints, 44))
    assert checkpoints.saving is None
    assert checkpoints.steps() == [20, 30]


def test_after_so_many_failures_in_a_row_it_ends_and_says_what_to_do(checkpoints, room):
    saver = Saver(checkpoints, tries=3, first_pause_seconds=0.0)
    with failing():
        for step in (40, 41):
            saver.save(_start(checkpoints, step))
            assert not saver.settle()
    # One that comes through starts the count again.
    saver.save(_start(checkpoints, 42))
    assert saver.settle()
    with failing():
        saver.save(_start(checkpoints, 43))
        with pytest.raises(
            SaveError, match=r"tried 3 times, and the checkpoint of step 42 is whole: mend that .* goes on from there"
        ):
            saver.finish(50, _start(checkpoints, 50))
    assert room.steps() == [30, 42]


def test_the_last_step_is_waited_for(checkpoints, room):
    saver = Saver(checkpoints, tries=3, first_pause_seconds=0.0)
    calls = []

    def start():
        calls.append(1)
        with failing() if len(calls) < 3 else contextlib.nullcontext():
            _start(checkpoints, 50)()
            with contextlib.suppress(SaveError):
                checkpoints.wait()
                return
        raise SaveError("as the loop would see it")

    saver.save(start)
    saver.finish(50, start)
    assert len(calls) == 3
    assert room.steps() == [30, 50]


def test_a_folder_that_cannot_be_made_is_told_in_words():
    with pytest.raises(SaveError, match="/sys/checkpoints could not be written: "), Checkpoints("/sys/checkpoints", 2):
        pass
