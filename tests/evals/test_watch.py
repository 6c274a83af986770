"""Which checkpoints are evaluated, and when a watch is over."""

import logging
import re

import pytest

from dfjax import config as config_lib
from dfjax.checkpoint.store import ITEMS, CheckpointError
from dfjax.checkpoint.workdir import Workdir
from dfjax.evals import watch
from dfjax.evals.errors import EvaluationError
from dfjax.runtime import heartbeats


class Run:
    """A work directory whose checkpoints come and go while somebody waits: one entry of ``later`` at each sleep."""

    def __init__(self, path, steps, total=4, later=()):
        self.workdir, self.later, self.slept = Workdir(path), list(later), 0
        self.workdir.checkpoints.mkdir(parents=True)
        self.workdir.config.write_text(config_lib.resolve({"train": {"num_steps": total}}).to_json())
        for step in steps:
            self.add(step)

    def add(self, step, lacks=()):
        folder = self.workdir.checkpoints / f"step_{step}"
        for name in {*ITEMS, "_CHECKPOINT_METADATA"} - set(lacks):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def delete(self, step):
        (self.workdir.checkpoints / f"step_{step}").rename(self.workdir.path / f"deleted_{step}")

    def sleep(self, seconds):
        self.slept += 1
        if not self.later:
            pytest.fail("it waits for what will not come")
        self.later.pop(0)(self)

    def steps(self, wish="all", watching=True, done=()):
        return list(watch.steps(self.workdir, wish, watching, lambda step: step in done, 1.0, sleep=self.sleep))


def test_without_a_watch_there_is_what_is_there(tmp_path):
    assert Run(tmp_path, [1, 2, 3]).steps(watching=False) == [1, 2, 3]


def test_a_watch_goes_on_to_the_last_step_of_the_run(tmp_path):
    run = Run(tmp_path, [1], later=[lambda r: r.add(2), lambda r: None, lambda r: (r.add(3), r.add(4))])
    assert run.steps() == [1, 2, 3, 4]
    assert run.slept == 3


def test_a_step_that_is_taken_again_after_going_back_is_evaluated_again(tmp_path):
    def go_back(run):
        run.delete(2)
        run.add(2)

    run = Run(tmp_path, [1, 2], later=[go_back, lambda r: (r.add(3), r.add(4))])
    assert run.steps() == [1, 2, 2, 3, 4]


def test_a_finished_run_is_not_waited_for(tmp_path):
    assert Run(tmp_path, [2, 4]).steps() == [2, 4]


def test_what_is_done_is_left_alone(tmp_path):
    assert Run(tmp_path, [2, 3, 4]).steps(done=(2, 4)) == [3]


def test_a_checkpoint_that_is_written_is_waited_for(tmp_path):
    run = Run(tmp_path, [2], later=[lambda r: r.add(4)])
    run.add(4, lacks=["meta"])
    assert run.steps() == [2, 4]


def test_checkpoints_that_go_while_others_are_evaluated_are_not_asked_for(tmp_path):
    run = Run(tmp_path, [1, 2, 4])
    found = []
    for step in watch.steps(run.workdir, "all", True, lambda step: False, 1.0, sleep=run.sleep):
        found.append(step)
        if step == 1:
            run.delete(2)
    assert found == [1, 4]


def test_a_watch_starts_before_the_run(tmp_path):
    workdir = Workdir(tmp_path / "run")
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        Run(workdir.path, [4])

    assert list(watch.steps(workdir, "all", True, lambda step: False, 0.5, sleep=sleep)) == [4]
    assert slept == [0.5]


def test_the_latest_is_the_newest_at_each_look(tmp_path):
    run = Run(tmp_path, [1, 2], later=[lambda r: (r.add(3), r.add(4))])
    assert run.steps("latest") == [2, 4]


def test_one_step_is_waited_for_and_no_other(tmp_path):
    run = Run(tmp_path, [1], later=[lambda r: r.add(2), lambda r: r.add(3)])
    assert run.steps("3") == [3]
    # What training has passed, or will never reach, does not come any more.
    with pytest.raises(EvaluationError, match=r"no checkpoint of step 2, and none will come; it has 1, 3"):
        Run(tmp_path / "passed", [1, 3]).steps("2")
    with pytest.raises(EvaluationError, match=r"no checkpoint of step 5, and none will come; it has 1"):
        Run(tmp_path / "beyond", [1]).steps("5")


def test_a_run_in_which_nothing_trains_is_not_waited_for_without_end(tmp_path):
    nothing = [lambda r: None] * 9
    run = Run(tmp_path / "run", [1], later=[*nothing, lambda r: r.add(2), *nothing, lambda r: None])
    with pytest.raises(EvaluationError, match=r"waited for 10 s: nothing trains in .*run, whose newest .* step 2"):
        list(watch.steps(run.workdir, "all", True, lambda step: False, 1.0, 10.0, run.sleep))
    missing = Workdir(tmp_path / "missing")
    with pytest.raises(EvaluationError, match=r"waited for 10 s: there is no folder .*missing\. Start or resume"):
        list(watch.steps(missing, "all", True, lambda step: False, 5.0, 10.0, lambda seconds: None))


def test_a_run_that_trains_is_waited_for_however_long_it_takes(tmp_path):
    run = Run(tmp_path, [1], later=[*([lambda r: None] * 30), lambda r: r.add(4)])
    run.workdir.heartbeats.mkdir()
    heartbeats.Heart(run.workdir.heartbeats, 0).beat()
    assert list(watch.steps(run.workdir, "all", True, lambda step: False, 1.0, 10.0, run.sleep)) == [1, 4]


def test_a_step_that_is_not_there_is_an_error_that_says_which_are(tmp_path):
    with pytest.raises(EvaluationError, match=re.escape("no checkpoint of step 2; it has 1, 3; --watch waits for one")):
        Run(tmp_path, [1, 3]).steps("2", watching=False)
    with pytest.raises(EvaluationError, match="--step is all, latest or the number of a step, not 'newest'"):
        Run(tmp_path / "a", [1]).steps("newest")
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        Run(tmp_path / "b", []).steps(watching=False)


def test_a_newer_one_that_is_damaged_is_told_where_the_latest_is_wished_for(tmp_path, caplog):
    run = Run(tmp_path, [1, 2])
    run.add(3, lacks=("optimizer",))
    assert run.steps("latest", watching=False) == [2]
    assert "step 3 is passed over" in caplog.text
    with pytest.raises(
        EvaluationError, match=r"of step 3 in .* being deleted, or damaged: optimizer missing; whole are 1, 2"
    ):
        run.steps("3", watching=False)


def test_it_says_what_it_waits_for_once_for_each_state(tmp_path, caplog):
    caplog.set_level(logging.INFO, "dfjax")
    run = Run(tmp_path, [1], later=[lambda r: None, lambda r: r.add(2), lambda r: r.add(4)])
    run.steps()
    said = [line for line in caplog.messages if "waiting" in line]
    assert len(said) == 2
    assert "which is at step 1 of 4; nothing trains there now" in said[0]
    assert "step 2 of 4" in said[1]


def test_it_says_that_somebody_trains_there(tmp_path, caplog):
    caplog.set_level(logging.INFO, "dfjax")
    run = Run(tmp_path, [1], later=[lambda r: r.add(4)])
    run.workdir.heartbeats.mkdir()
    heartbeats.Heart(run.workdir.heartbeats, 0).beat()
    run.steps()
    (said,) = [line for line in caplog.messages if "waiting" in line]
    assert "nothing trains there" not in said
