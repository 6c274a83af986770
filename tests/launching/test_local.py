"""`dfjax launch local`, for real: two processes over loopback that train."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests import command

LOCAL = pathlib.Path(__file__).parents[2] / "launch" / "local.sh"
# A name that no shell would leave alone.
ODD = "a b $HOME \"q\" 'p' \n;é"


def _words(room, data, *more: str) -> list[str]:
    return ["launch", "local", *command.train(room, data, "train.batch_size=16", *more)[1:]]


def _curve(room) -> dict[int, float]:
    rows = [json.loads(line) for line in (room / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["train/loss"] for row in rows if "train/loss" in row}


@pytest.mark.long
@pytest.mark.multihost
def test_two_processes_train_as_one_does_and_each_line_names_its_rank(data, tmp_path):
    steps = ("train.num_steps=4", "train.log_every_steps=1")
    two = command.start(*_words(tmp_path / ODD, data, *steps), "--hosts=2", "--topology=cpu:2")
    _, err = two.communicate(timeout=300)
    assert two.returncode == 0, err
    assert "watch:" in err and "resume:" in err
    assert any(line.startswith("[0] ") for line in err.splitlines())
    assert "2 processes, 4 devices" in err or "process 0 of 2, 2 local devices" in err
    one = command.dfjax(*command.train(tmp_path / "one", data, *steps))
    assert one.returncode == 0, one.stderr
    found, expected = _curve(tmp_path / ODD), _curve(tmp_path / "one")
    assert found.keys() == expected.keys() == {1, 2, 3, 4}
    for step, loss in expected.items():
        assert abs(found[step] - loss) <= 1e-4 * abs(loss)


@pytest.mark.long
@pytest.mark.multihost
def test_told_to_end_it_saves_and_the_same_command_goes_on(data, tmp_path):
    words = [*_words(tmp_path / "run", data, "train.num_steps=100000", "train.log_every_steps=1"), "--hosts=2"]
    process = command.start(*words)
    deadline = time.monotonic() + 240
    while not command.has_trained(tmp_path / "run"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    live = command.dfjax(*words)
    assert live.returncode == 2
    assert "is in use by process 0" in live.stderr and "choose another --workdir" in live.stderr
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 42, err
    saved = max(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step_*"))
    again = command.start(*words)
    assert any(f"has a run, saved at step {saved}" in line for line in again.stderr)
    again.send_signal(signal.SIGTERM)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 42, err


def test_the_script_is_the_command(data, tmp_path):
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = [*command.train(tmp_path / "run", data)[1:], "--dry_run"]
    done = subprocess.run([LOCAL, "2", *words], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == command.dfjax("launch", "local", "--hosts=2", *words).stdout
    none = subprocess.run([LOCAL, "--config=x"], capture_output=True, text=True)
    assert none.returncode == 2 and none.stderr.startswith("usage: ")
