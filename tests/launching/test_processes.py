"""What happens to the processes of one machine, with programs that do as they are told in the place of training."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

# Starts as each rank does, and ends as its word says; one that ends by itself waits for those that are to be told.
RANK = """
import os, pathlib, signal, sys, time
word, ready = sys.argv[1], pathlib.Path(sys.argv[2])
print("line of", word)
print("error of", word, file=sys.stderr, flush=True)
def save(*_):
    print("saved", flush=True)
    sys.exit(42)
def stay(*_):
    print("not yet", flush=True)
signal.signal(signal.SIGTERM, {"saves": save, "stays": stay}.get(word, signal.SIG_DFL))
print("ready", flush=True)
if word in ("saves", "stays"):
    ready.touch()
while word.isdecimal() and word != "0" or word == "killed":
    if ready.exists():
        break
    time.sleep(0.01)
if word == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if word.isdecimal():
    sys.exit(int(word))
while True:
    time.sleep(0.05)
"""
PROGRAM = """
import os, sys
from dfjax.launching import processes
processes._GRACE_SECONDS = 1.0
rank, ready, *words = sys.argv[1:]
commands = [[sys.executable, "-c", rank, word, ready] for word in words]
sys.exit(processes.Processes(commands, dict(os.environ)).wait())
"""


@pytest.fixture
def start(tmp_path):
    """Start processes that end as their words say."""

    def start(*words: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PROGRAM, RANK, str(tmp_path / "ready"), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def _wait_for(process: subprocess.Popen, line: str, count: int) -> None:
    """Read until so many ranks have written a line."""
    while count:
        said = process.stdout.readline()
        assert said, "ended early"
        count -= said.partition("] ")[2] == line + "\n"


def test_each_line_has_the_rank_before_it_and_streams_stay_apart(start):
    process = start("0", "0")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert {"[0] line of 0", "[1] line of 0"} <= set(out.splitlines())
    assert sorted(err.splitlines()) == ["[0] error of 0", "[1] error of 0"]


@pytest.mark.parametrize(("word", "status"), [("3", 3), ("2", 2), ("killed", 128 + signal.SIGKILL)])
def test_all_end_when_one_fails_with_its_status(word, status, start):
    process = start("saves", word)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "[0] saved" in out.splitlines()


def test_one_that_does_not_end_is_killed_after_a_while(start):
    process = start("stays", "1")
    process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_all_save_and_it_ends_with_42(number, start):
    process = start("saves", "saves")
    _wait_for(process, "ready", 2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 42
    assert sorted(out.splitlines()) == ["[0] saved", "[1] saved"]


def test_one_request_is_passed_on_once_and_the_third_ends_what_stays(start):
    process = start("stays")
    _wait_for(process, "ready", 1)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        _wait_for(process, "not yet", 1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signal.SIGKILL, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_do_not_outlive_their_starter(number, start):
    process = start("saves")
    _wait_for(process, "ready", 1)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{children[0]}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
