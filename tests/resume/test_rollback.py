"""A run that went back after spikes and was killed ends where the undisturbed one does: bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from dfjax.checkpoint.store import ARRAYS, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from tests import command
from tests.data import tiny

pytestmark = pytest.mark.long

OVERRIDES = (
    "data.validation_split=",
    "train.num_steps=12",
    "train.log_every_steps=4",
    "train.checkpoint_every_steps=4",
    "train.spike_factor=3.0",
    "train.spike_window=3",
)
# The second one comes before the next checkpoint: both rollbacks go back to step 4.
SPIKES = [
    {"number": 7, "where": "loss", "value": 1e3},
    {"number": 6, "where": "loss", "value": 1e3, "attempt": 1},
]


def _start(room, data):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-m", "tests.faults.planted", json.dumps(SPIKES)]
    arguments = [*program, *command.train(room.path, data, *OVERRIDES)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _kill_after_rollbacks(count, room, data):
    process = _start(room, data)
    deadline = time.monotonic() + 300
    while len(_lines(room.rollbacks)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said[-3000:]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """The undisturbed run, and one that was killed after its first rollback and after its second."""
    data = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    whole, killed = (Workdir(tmp_path_factory.mktemp(name)) for name in ("whole", "killed"))
    for count in (1, 2):
        _kill_after_rollbacks(count, killed, data)
    for room in (whole, killed):
        process = _start(room, data)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said[-3000:]
    return whole, killed


def _saved(room):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(room.checkpoints) as checkpoints:
        shapes = {item: checkpoints.array_shapes(12, item) for item in ARRAYS}
        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)
        return trees.named_leaves(checkpoints.arrays(12, wanted)), checkpoints.meta(12)


def test_state_position_and_attempt_are_equal(rooms):
    (wanted, wanted_meta), (found, meta) = map(_saved, rooms)
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        np.testing.assert_array_equal(found[name], leaf, err_msg=name)
    for name in ("attempt", "position", "health"):
        assert meta[name] == wanted_meta[name]
    # Steps 5 to 7, then 5 and 6, are records of which nothing is left in the weights.
    assert (meta["attempt"], meta["position"]) == (2, (12 + 3 + 2) * 16)


def test_each_rollback_is_told_once(rooms):
    for room in rooms:
        rollbacks = _lines(room.rollbacks)
        assert [(line["number"], line["back_to_step"], line["skipped_positions"]) for line in rollbacks] == [
            (7, 4, [64, 112]),
            (6, 4, [64, 144]),
        ]
        assert rollbacks == _saved(room)[1]["health"]["rollbacks"]


def test_each_scalar_stands_once_in_the_metrics(rooms):
    whole, killed = ([line for line in _lines(room.metrics) if "train/loss" in line] for room in rooms)
    assert [line["step"] for line in killed] == [4, 8, 12]
    assert [line["train/loss"] for line in killed] == [line["train/loss"] for line in whole]
    assert [line["train/rollbacks"] for line in killed] == [0, 2, 2]
