"""Averages of any length, as a user makes them: train with snapshots, average, draw."""

import json

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import CheckpointError
from dfjax.checkpoint.workdir import Workdir
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import restore
from tests import command

OVERRIDES = ("optim.ema_stds=(0.05,0.1)", "train.snapshot_every_steps=2", "train.num_steps=5", "data.validation_split=")


@pytest.fixture(scope="module")
def snapshotted(damaged, tmp_path_factory):
    room = Workdir(tmp_path_factory.mktemp("run"))
    done = command.dfjax(*command.train(room.path, damaged, *OVERRIDES))
    assert done.returncode == 0, done.stderr
    return room


def _average(room, *flags):
    return command.dfjax("average", f"--workdir={room.path}", *flags, command.compiled())


def _load(room, std, step=None):
    return restore.load(room.path, mesh_lib.make(config_lib.Mesh(), jax.devices()[:1]), step, average=std)


def test_snapshots_are_taken_at_the_interval_and_at_the_end(snapshotted):
    with Snapshots(snapshotted.snapshots) as snapshots:
        assert snapshots.steps() == [2, 4, 5]
        assert set(snapshots.lengths(2)) == {0.05, 0.1}
        assert snapshots.config(2).optim.ema_stds == (0.05, 0.1)


def test_each_length_is_made_and_its_residual_is_told_with_a_warning_above_one_percent(snapshotted):
    done = _average(snapshotted, "--std=0.07", "--std=0.1")
    assert done.returncode == 0, done.stderr
    paths = [snapshotted.reconstructed(std) / "step_5" for std in (0.07, 0.1)]
    first, second = done.stdout.splitlines()
    assert first == f"{paths[0]}  residual 2.7e-02  from 3 snapshots"
    assert second == f"{paths[1]}  residual 0.0e+00  from 3 snapshots"
    assert done.stderr.count("is only near: its residual is 2.7 %") == 1
    for std in (0.07, 0.1):
        trained = _load(snapshotted, std)
        assert trained.step == 5
        assert jax.tree.structure(trained.params) == jax.tree.structure(trained.network.abstract_params())


def test_what_was_made_is_printed_as_json_too(snapshotted):
    done = _average(snapshotted, "--std=0.05", "--step=4", "--json")
    assert done.returncode == 0, done.stderr
    path = str(snapshotted.reconstructed(0.05) / "step_4")
    only = {"std": 0.05, "step": 4, "path": path, "residual": 0.0, "snapshots": 3}
    assert json.loads(done.stdout) == {"averages": [only]}
    with Snapshots(snapshotted.snapshots) as snapshots:
        there = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), snapshots.lengths(4))
        tracked = snapshots.read(4, there)[0.05]
    jax.tree.map(np.testing.assert_array_equal, _load(snapshotted, 0.05, 4).params, tracked)


def test_an_average_that_was_not_made_is_refused_with_the_command_that_makes_it(snapshotted):
    advice = f"`dfjax average --workdir={snapshotted.path} --std=0.2"
    with pytest.raises(CheckpointError, match=f"has no average of length 0.2: {advice}` makes it"):
        _load(snapshotted, 0.2)
    with pytest.raises(CheckpointError, match=f"has no average of length 0.2 at step 3: {advice} --step=3` makes it"):
        _load(snapshotted, 0.2, 3)


@pytest.mark.parametrize("std", ["0.009", "0.26", "nan"])
def test_a_length_out_of_range_is_wrong_use(std, tmp_path):
    done = _average(Workdir(tmp_path), f"--std={std}")
    assert done.returncode == 2
    assert done.stderr == f"dfjax: --std={float(std)} is no length from 0.01 to 0.25\n"


def test_a_run_without_snapshots_is_refused_with_the_keys_that_make_them(trained):
    done = _average(trained[0], "--std=0.1")
    assert done.returncode == 1
    assert "has no snapshots of averages" in done.stderr
    assert "--config.optim.ema_stds=" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (trained[0].path / "averages").exists()
    assert not (trained[0].checkpoints / "step_6" / "averages").exists()
