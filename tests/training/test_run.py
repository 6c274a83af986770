"""What a run may be resumed from."""

import shutil

import jax.numpy as jnp
import pytest

from dfjax.checkpoint.store import CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.training import run
from tests import small


def _saved(path, stds):
    """A work directory saved at step 7, with averages of the lengths ``stds``."""
    room, tree = Workdir(path), {"kernel": jnp.ones((2, 2))}
    items = {"params": tree, "ema": tree, "optimizer": {"mu": tree}}
    averages = {"averages": {str(std): tree for std in stds}} if stds else {}
    with Checkpoints(room.checkpoints, keep_last=1) as checkpoints:
        checkpoints.save(7, items | averages, {"config": small.config({"optim.ema_stds": stds}).to_dict()}, b"")
    return room


@pytest.mark.parametrize("stds", [(), (0.05, 0.1)], ids=["without averages", "with averages"])
def test_a_checkpoint_with_the_config_s_averages_is_gone_on_from(stds, tmp_path):
    assert run.check_saved(_saved(tmp_path, stds), small.config({"optim.ema_stds": stds})) == 7


@pytest.mark.parametrize(
    ("saved", "wanted", "words"),
    [
        ((), (0.05,), r"optim\.ema_stds: \(\) -> \(0\.05,\)"),
        ((0.05,), (), r"optim\.ema_stds: \(0\.05,\) -> \(\)"),
        ((0.05,), (0.1,), r"optim\.ema_stds: \(0\.05,\) -> \(0\.1,\)"),
    ],
)
def test_a_checkpoint_with_other_averages_is_refused_by_the_key(saved, wanted, words, tmp_path):
    with pytest.raises(CheckpointError, match=words):
        run.check_saved(_saved(tmp_path, saved), small.config({"optim.ema_stds": wanted}))


def test_a_checkpoint_that_lost_its_averages_is_damaged(tmp_path):
    room = _saved(tmp_path, (0.05,))
    shutil.rmtree(room.checkpoints / "step_7" / "averages")
    with pytest.raises(CheckpointError, match=r"step_7 is damaged .*start anew in another --workdir"):
        run.check_saved(room, small.config({"optim.ema_stds": (0.05,)}))
