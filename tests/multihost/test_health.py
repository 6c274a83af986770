"""Two processes of which one alone meets a number that is not finite, and a loss that jumps: both do the same."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests import command
from tests.data import tiny

pytestmark = pytest.mark.long

OVERRIDES = (
    "data.validation_split=",
    "train.num_steps=9",
    "train.log_every_steps=2",
    "train.checkpoint_every_steps=4",
    "train.spike_factor=3.0",
    "train.spike_window=3",
)
# Row 12 of 16 is the second process's.
FAULTS = [
    {"number": 2, "where": "noise", "value": float("nan"), "row": 12},
    {"number": 7, "where": "loss", "value": 1e3, "row": 12},
]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The work directory that two processes left."""
    data, folder = str(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("run")
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    address = f"127.0.0.1:{_free_port()}"
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_BIND_ADDRESS": address,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    arguments = [sys.executable, "-m", "tests.faults.planted", json.dumps(FAULTS)]
    arguments += [*command.train(folder, data, *OVERRIDES), f"--coordinator={address}", "--num_processes=2"]
    processes = [
        subprocess.Popen([*arguments, f"--process_id={rank}"], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=500)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, words in zip(processes, said, strict=True):
        assert process.returncode == 0, words[-3000:]
    return folder


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_skip_the_step_and_its_records_are_those_of_both(folder):
    (skipped,) = _lines(folder / "skipped_steps.jsonl")
    assert (skipped["step"], skipped["position"], len(skipped["records"])) == (2, 16, 16)
    assert "patch_out/kernel" in skipped["gradients"]


def test_both_go_back_and_end(folder):
    (rollback,) = _lines(folder / "rollbacks.jsonl")
    assert (rollback["number"], rollback["back_to_step"], rollback["skipped_positions"]) == (7, 4, [64, 112])
    # A mean over rows, of which half are the faulty device's.
    assert rollback["loss"] == pytest.approx(500, rel=0.01)
    last = [line for line in _lines(folder / "metrics.jsonl") if "train/loss" in line][-1]
    assert (last["step"], last["train/skipped_steps"], last["train/rollbacks"]) == (9, 1, 1)
