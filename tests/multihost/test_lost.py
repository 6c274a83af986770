"""A process that is stopped or killed is named by the one that waits for it, which shows its stacks and leaves."""

import json
import os
import pathlib
import signal
import time

import pytest

from tests import command
from tests.data import tiny

OVERRIDES = (
    "data.validation_split=",
    "text.depth=0",
    "mesh.data=1",
    "mesh.fsdp=-1",
    "train.num_steps=1000000",
    "hosts.start_seconds=120",
    "hosts.lost_seconds=12",
)


def _strike(number: int, room, rank: int, is_there, deadline: float) -> None:
    """Send a signal to a process once its sign of life says that it is where it is wanted."""
    while time.monotonic() < deadline:
        try:
            beat = json.loads((room / "heartbeats" / f"process_{rank}.json").read_text())
        except (OSError, ValueError):
            beat = None
        if beat and is_there(beat):
            os.kill(beat["pid"], number)
            return
        time.sleep(0.02)
    raise AssertionError(f"process {rank} did not come that far: {beat}")


def _words_of_the_other(number: int, rank: int, is_there, folder) -> tuple[str, str]:
    """Of two processes one gets a signal: all that the other says, and its last line, which names it."""
    data, room = str(folder / "data"), folder / "run"
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    processes = command.start_joined(2, *command.train(room, data, *OVERRIDES))
    struck, waiting = processes[rank], processes[1 - rank]
    try:
        _strike(number, room, rank, is_there, time.monotonic() + 300)
        ((status, words),) = command.ends([waiting])
    finally:
        struck.kill()
    assert status == 137
    *_, last = [line for line in words.splitlines() if line.startswith("dfjax:")]
    assert last.startswith(f"dfjax: process {rank} (")
    return words, last


@pytest.mark.long
@pytest.mark.parametrize(
    ("rank", "is_there", "place"),
    [
        (0, lambda beat: beat["step"] >= 5, "stepping|reading records|saving"),
        (1, lambda beat: beat["phase"] == "preparing", "preparing"),
    ],
    ids=["the first one, in a step", "another one, at its start"],
)
def test_a_stopped_process_is_named_with_its_place(rank, is_there, place, tmp_path):
    words, last = _words_of_the_other(signal.SIGSTOP, rank, is_there, tmp_path)
    assert "is lost: it was " in last
    assert any(phase in last for phase in place.split("|"))
    # Where the waiting one waits.
    assert "Current thread" in words and "dfjax/cli/train.py" in words


@pytest.mark.gate(1)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_is_named_also_where_it_coordinates_the_others(rank, tmp_path):
    words, last = _words_of_the_other(signal.SIGKILL, rank, lambda beat: beat["step"] >= 5, tmp_path)
    assert "is gone without a word; it was " in last
    assert "dfjax/cli/train.py" in words


@pytest.mark.gate(1)
@pytest.mark.parametrize("rank", [0, 1])
def test_who_is_told_to_end_while_it_loads_its_libraries_tells_the_others(rank, tmp_path):
    data, room = str(tmp_path / "data"), tmp_path / "run"
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    processes = command.start_joined(2, *command.train(room, data, *OVERRIDES))
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        assert processes[rank].poll() is None
        status = pathlib.Path(f"/proc/{processes[rank].pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    processes[rank].terminate()
    # Sooner than they would wait for it.
    ended = command.ends(processes, 90)
    assert [status for status, _ in ended] == [42, 42], ended
