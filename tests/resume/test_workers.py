"""Workers that decode pictures: they do not outlive their run, and where one is killed the run says so."""

import os
import pathlib
import signal
import time

import pytest

from tests import command
from tests.data import tiny

OVERRIDES = ("data.validation_split=", "data.workers=2", "train.num_steps=1000000", "train.log_every_steps=5")


def _workers(pid: int) -> list[int]:
    """Processes that Python's multiprocessing started for the run, whichever of its threads did."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        found += [int(pid) for pid in children if b"spawn_main" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def _is_there(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def run(tmp_path):
    """A run that trains with two workers."""
    data = str(tmp_path / "data")
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    room = tmp_path / "run"
    process = command.start(*command.train(room, data, *OVERRIDES))
    deadline = time.monotonic() + 200
    while not command.has_trained(room):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1][-3000:]
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.long
def test_they_end_with_a_run_that_is_killed(run):
    workers = _workers(run.pid)
    assert len(workers) == 2
    run.kill()
    deadline = time.monotonic() + 30
    while any(map(_is_there, workers)):
        assert time.monotonic() < deadline, "a worker outlives its run"
        time.sleep(0.1)


@pytest.mark.long
def test_one_that_is_killed_ends_the_run_in_words_and_with_a_status_to_start_it_again(run):
    os.kill(_workers(run.pid)[0], signal.SIGKILL)
    _, words = run.communicate(timeout=120)
    assert run.returncode == 137
    assert "dfjax: a process that decodes pictures was killed (exit code -9)" in words
    assert "Traceback" not in words
