"""Signals to a run of one process: before its first step, once, twice; and a second run in its work directory."""

import json
import os
import pathlib
import signal
import time

import pytest

from tests import command
from tests.data import tiny

PROGRAM = pathlib.Path(__file__).parents[1] / "multihost" / "losses_program.py"
OVERRIDES = ("data.validation_split=", "train.log_every_steps=1", "train.num_steps=1000")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return folder


def _until(process, room, is_there) -> None:
    """Wait for what the run's sign of life says."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if is_there(json.loads((room / "heartbeats" / "process_0.json").read_text())):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def test_one_that_still_loads_its_libraries_leaves_with_the_status_to_start_it_again(data, tmp_path):
    process = command.start(*command.train(tmp_path / "run", data, *OVERRIDES))
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        assert process.poll() is None
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    process.terminate()
    _, words = process.communicate(timeout=60)
    assert process.returncode == 42
    assert "Traceback" not in words
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.long
def test_one_that_compiles_leaves_at_once_with_nothing_to_save(data, tmp_path):
    room = tmp_path / "run"
    process = command.start(*command.train(room, data, *OVERRIDES, "model.depth=8", "model.unroll=8"))
    _until(process, room, lambda beat: beat["phase"] == "compiling the step")
    process.send_signal(signal.SIGTERM)
    ((status, words),) = command.ends([process], 60)
    assert status == 42
    assert "SIGTERM before the first step: nothing to save" in words
    assert "compiled the step" not in words
    assert "Traceback" not in words


def test_ctrl_c_saves_and_the_same_command_goes_on(data, tmp_path):
    room = tmp_path / "run"
    # Workers are of the same group, and get the signal too.
    arguments = command.train(room, data, *OVERRIDES, "data.workers=1")
    process = command.start(*arguments, start_new_session=True)
    _until(process, room, lambda beat: beat["step"] >= 3)
    os.killpg(process.pid, signal.SIGINT)
    ((status, words),) = command.ends([process], 120)
    assert status == 42, words
    assert "is saved, and the same command goes on from there" in words
    assert "Traceback" not in words
    (saved,) = (room / "checkpoints").glob("step_*")
    step = int(saved.name.removeprefix("step_"))
    again = command.dfjax(*command.train(room, data, *OVERRIDES[:2], "train.num_steps=1000", "train.batch_size=8"))
    assert again.returncode == 1
    assert f"saved at step {step}" in again.stderr


@pytest.mark.long
def test_a_live_run_keeps_others_out_and_leaves_at_a_second_signal(data, tmp_path):
    room = tmp_path / "run"
    arguments = command.train(room, data, *OVERRIDES)
    program = (str(PROGRAM), str(tmp_path / "rows.json"))
    process = command.start(*arguments, program=program, DISTURB="wait@5")
    _until(process, room, lambda beat: beat["step"] == 5 and beat["phase"] == "reading records")
    second = command.dfjax(*arguments)
    assert second.returncode == 1
    assert "is in use by process 0" in second.stderr
    assert "Traceback" not in second.stderr
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    ((status, words),) = command.ends([process], 30)
    assert status == 128 + signal.SIGTERM
    assert "SIGTERM a second time" in words
    assert not list((room / "checkpoints").glob("step_*"))
