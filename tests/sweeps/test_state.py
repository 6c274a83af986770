"""What has become of a run, from what is in its work directory alone."""

import os
import subprocess
import sys

import pytest

from dfjax.checkpoint.workdir import Workdir
from dfjax.sweeps import state
from dfjax.sweeps.state import Progress, State
from tests.sweeps import made_up

STEPS = made_up.STEPS


def read(folder) -> Progress:
    return state.read(Workdir(folder), STEPS)


def test_nothing_yet_is_new(tmp_path):
    assert read(tmp_path / "run") == Progress(State.NEW, 0)


def test_a_checkpoint_of_the_last_step_is_finished_whatever_else_is_there(tmp_path):
    made_up.trained(tmp_path, {10: 1.0}, saved=STEPS)
    made_up.beat(tmp_path, 1, "the disk is full")
    assert read(tmp_path) == Progress(State.FINISHED, STEPS)


def test_a_last_checkpoint_that_is_not_whole_is_not_finished(tmp_path):
    made_up.trained(tmp_path, {STEPS: 1.0}, saved=STEPS)
    (tmp_path / "checkpoints" / f"step_{STEPS}" / "optimizer").rmdir()
    found = read(tmp_path)
    assert found.state is State.FAILED
    assert "optimizer missing" in found.words


def test_a_process_at_work_is_running_and_its_step_is_the_last_that_it_wrote(tmp_path):
    made_up.trained(tmp_path, {5: 1.0, 12: 0.5}, saved=10)
    made_up.beat(tmp_path)
    assert read(tmp_path) == Progress(State.RUNNING, 12)


@pytest.mark.parametrize("saved", [0, 10])
def test_a_process_that_was_killed_left_a_run_that_is_cut(saved, tmp_path):
    made_up.trained(tmp_path, {5: 1.0}, saved=saved)
    program = (
        "import pathlib, sys; from dfjax.runtime import heartbeats\n"
        "folder = pathlib.Path(sys.argv[1]); folder.mkdir(); heartbeats.Heart(folder, 0).beat()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "heartbeats")], check=True)
    assert read(tmp_path) == Progress(State.CUT, max(saved, 5))


def test_a_process_elsewhere_that_is_long_silent_is_not_at_work(tmp_path):
    made_up.trained(tmp_path, {5: 1.0}, saved=10)
    made_up.beat_elsewhere(tmp_path)
    assert read(tmp_path).state is State.CUT


@pytest.mark.parametrize(("status", "expected"), [(0, "cut"), (42, "cut"), (137, "cut"), (1, "failed"), (2, "failed")])
def test_what_a_process_ended_with_tells_cut_from_failed(status, expected, tmp_path):
    made_up.trained(tmp_path, {5: 1.0}, saved=10)
    made_up.beat(tmp_path, status, "words")
    found = read(tmp_path)
    assert found.state.value == expected
    assert found.words == ("words" if expected == "failed" else "")


def test_what_was_noted_of_an_end_holds_until_it_starts_again(tmp_path):
    workdir = Workdir(tmp_path / "run")
    state.fail(workdir, "there is no such data set")
    assert read(workdir.path) == Progress(State.FAILED, 0, "there is no such data set")
    made_up.beat(workdir.path, 1, "words")
    state.forget(workdir)
    assert read(workdir.path).state in state.OPEN
    state.prune(workdir, "hopeless")
    assert read(workdir.path).state is State.PRUNED
    # What was noted is no reason for training not to begin.
    workdir.check()


def test_to_forget_an_end_leaves_a_process_that_lives_alone(tmp_path):
    made_up.trained(tmp_path, {5: 1.0})
    made_up.beat(tmp_path)
    state.forget(Workdir(tmp_path))
    assert read(tmp_path).state is State.RUNNING


def test_what_was_noted_of_an_end_is_no_longer_so_once_somebody_else_went_on(tmp_path):
    made_up.trained(tmp_path, {5: 1.0}, saved=10)
    state.fail(Workdir(tmp_path), "old")
    note = tmp_path / "launch" / "ended.json"
    made_up.beat(tmp_path, 0)
    os.utime(note, (1000, 1000))
    assert read(tmp_path) == Progress(State.CUT, 10)
