"""A run that is killed and started again ends where it would have ended: bit for bit."""

import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import ARRAYS, AVERAGES, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from tests import command
from tests.data import tiny

STEPS, STOP = 20, 10
# The gate has a kill amid a save in tests/faults.
pytestmark = pytest.mark.long

# The pictures at step 11 take seconds to compile, in which the run is met between its two checkpoints.
OVERRIDES = (
    f"train.num_steps={STEPS}",
    f"train.checkpoint_every_steps={STOP}",
    f"train.sample_every_steps={STOP + 1}",
    "train.log_every_steps=2",
    "train.snapshot_every_steps=4",
    "optim.ema_stds=(0.05,0.1)",
    "data.validation_split=",
    "text.depth=0",
    "data.vary_captions=True",
    "data.flip=True",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """A run in one piece, whose records are decoded by a worker; the other decodes its own."""
    room = Workdir(tmp_path_factory.mktemp("whole"))
    done = command.dfjax(*command.train(room.path, data, *OVERRIDES, "data.workers=1"), compiled_as_ever=True)
    assert done.returncode == 0, done.stderr
    return room


@pytest.fixture(scope="module")
def resumed(data, tmp_path_factory):
    """A run that was killed after its first checkpoint and run again."""
    room = Workdir(tmp_path_factory.mktemp("killed"))
    arguments = command.train(room.path, data, *OVERRIDES)
    process = command.start(*arguments, compiled_as_ever=True)
    deadline = time.monotonic() + 300
    while room.steps() != [STOP] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert room.steps() == [STOP]
    # What a kill in the middle of a save leaves behind, and of a line.
    shutil.copytree(room.checkpoints / f"step_{STOP}", room.checkpoints / "step_15.orbax-checkpoint-tmp")
    shutil.copytree(room.snapshots / "step_8", room.snapshots / "step_16.orbax-checkpoint-tmp")
    # And a whole snapshot past the checkpoint, which is not this run's: its own is to be there instead.
    shutil.copytree(room.snapshots / "step_8", room.snapshots / "step_12", dirs_exist_ok=True)
    with room.metrics.open("a") as file:
        file.write('{"step": 14, "tra')
    again = command.dfjax(*arguments, compiled_as_ever=True)
    assert again.returncode == 0, again.stderr
    assert f"has a run, saved at step {STOP}" in again.stderr
    return room


def _on_one_device(shapes):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)


def _leaves(room):
    with Checkpoints(room.checkpoints) as checkpoints:
        assert checkpoints.steps()[-1] == STEPS
        wanted = _on_one_device({item: checkpoints.array_shapes(STEPS, item) for item in (*ARRAYS, AVERAGES)})
        return trees.named_leaves(checkpoints.arrays(STEPS, wanted)), checkpoints.meta(STEPS)


def _snapshots(room):
    with Snapshots(room.snapshots) as snapshots:
        return {
            step: trees.named_leaves(snapshots.read(step, _on_one_device(snapshots.lengths(step))))
            for step in snapshots.steps()
        }


def test_parameters_averages_and_optimizer_are_equal_to_the_bit(uninterrupted, resumed):
    (wanted, wanted_meta), (found, meta) = _leaves(uninterrupted), _leaves(resumed)
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        np.testing.assert_array_equal(found[name], leaf, err_msg=name)
    assert meta["position"] == wanted_meta["position"] == STEPS * 16
    assert float(np.abs(wanted["params/patch_out/kernel"]).max()) > 0


def test_snapshots_are_equal_to_the_bit_and_none_is_missing(uninterrupted, resumed):
    wanted, found = _snapshots(uninterrupted), _snapshots(resumed)
    assert list(found) == list(wanted) == [4, 8, 12, 16, 20]
    for step, leaves in wanted.items():
        assert len(leaves) > 40
        for name, leaf in leaves.items():
            np.testing.assert_array_equal(found[step][name], leaf, err_msg=f"{step} {name}")
    changed = [name for name, leaf in wanted[12].items() if not np.array_equal(leaf, wanted[8][name])]
    assert len(changed) == len(wanted[12])


def test_each_scalar_stands_once_in_the_metrics_and_losses_are_equal(uninterrupted, resumed):
    def losses(room):
        lines = [json.loads(line) for line in room.metrics.read_text().splitlines()]
        return [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]

    assert [step for step, _ in losses(resumed)] == list(range(2, STEPS + 1, 2))
    assert losses(resumed) == losses(uninterrupted)


def test_what_a_killed_save_left_is_cleaned_away(resumed):
    assert sorted(path.name for path in resumed.checkpoints.glob("step_*")) == [f"step_{STOP}", f"step_{STEPS}"]
    assert not list(resumed.snapshots.glob("*tmp*"))
