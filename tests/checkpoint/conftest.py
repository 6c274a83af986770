"""A work directory with checkpoints of a small network."""

import shutil

import jax
import jax.numpy as jnp
import pytest

from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from tests import small


def arrays(step):
    """Some arrays whose values tell the step."""
    tree = {"a": {"kernel": jnp.full((4, 3), float(step))}, "bias": jnp.arange(3.0)}
    return {"params": tree, "ema": tree, "optimizer": {"mu": tree, "count": jnp.int32(step)}}


def shapes(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def save(room, steps, **policy):
    with Checkpoints(room.checkpoints, **{"keep_last": 2} | policy) as checkpoints:
        for step in steps:
            checkpoints.save(step, arrays(step), {"config": small.config().to_dict()}, b"\x00tokenizer")
            checkpoints.wait()


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    room = Workdir(tmp_path_factory.mktemp("run"))
    save(room, (10, 20))
    return room


@pytest.fixture
def room(saved, tmp_path):
    """A copy, to be damaged."""
    return Workdir(shutil.copytree(saved.path, tmp_path / "run"))


def snapshot(room, step, averages):
    """Save trees of parameters by length as the snapshot of ``step``."""
    with Snapshots(room.snapshots, write=True) as snapshots:
        tree = {str(std): params for std, params in averages.items()}
        snapshots.save(step, {"averages": tree}, {"config": small.config().to_dict()}, b"\x00tokenizer")
