"""The harness sees what it is to see: plans repeat, one bit is found, and a run that fails to restart is counted."""

import collections
import dataclasses
import json
import signal

import numpy as np
import pytest

from tests.faults import campaign as campaign_lib
from tests.faults import compare, plan, processes, record, strike
from tests.faults.campaign import Campaign

# Says what it is at as dfjax does, and no more. Of a work directory's starts, the one numbered FAILS ends with 1.
ACTOR = """
import pathlib, sys, time
marks, workdir = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[5].removeprefix("--workdir="))
workdir.mkdir(exist_ok=True)
starts = workdir / f"starts of {marks.stem}"
number = int(starts.read_text()) if starts.exists() else 0
starts.write_text(str(number + 1))
with marks.open("a", buffering=1) as file:
    def at(phase, step, seconds=0.3):
        file.write(f"{time.monotonic()}\\t{phase}\\t{step}\\n")
        time.sleep(seconds)
    at("preparing", 0)
    if number == FAILS:
        sys.exit("dfjax: planted")
    at("compiling the step", 0)
    for step in range(40):
        at("stepping", step, 0.05)
        if step % 8 == 7 and marks.stem == "0":
            part = workdir / "checkpoints" / f"step_{step}.orbax-checkpoint-tmp"
            part.mkdir(parents=True, exist_ok=True)
            at("saving", step)
            part.rmdir()
        if step % 9 == 8:
            at("evaluating", step)
    at("waiting for the last save", 40)
"""


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Plays runs of an actor, which ends as it is told; there is nothing to compare."""

    def make(fails: int) -> Campaign:
        program = tmp_path / "actor.py"
        program.write_text(ACTOR.replace("FAILS", str(fails)))
        monkeypatch.setattr(processes, "_PROGRAM", program)
        nothing = compare.State({}, {"metrics": []})
        monkeypatch.setattr(compare, "read", lambda workdir: nothing)
        monkeypatch.setattr(campaign_lib, "_not_met", lambda planted, found: "")
        (tmp_path / "data_0").mkdir()
        made = Campaign(tmp_path, 0, "code")
        monkeypatch.setattr(strike.Lengths, "of", lambda self, count, instant: 0.2)
        return made

    return make


def _line(**changes) -> record.Line:
    usual = record.Line("code", 0, 0, 0, plan.KILL, 1, 0, plan.STEP, plan.STEP, False, 3, record.EQUAL)
    return dataclasses.replace(usual, **changes)


def test_a_plan_is_a_function_of_seed_and_number():
    wanted = plan.run(3, 5, plan.KINDS, (1, 2, 4))
    assert plan.run(3, 5, plan.KINDS, (1, 2, 4)) == wanted
    assert len({plan.run(seed, 5, plan.KINDS, (1, 2, 4)).faults for seed in range(20)}) == 20


def test_what_a_seed_plants_is_skipped_before_and_after_the_spike():
    assert plan.planted(3, 23) == plan.planted(3, 23)
    for seed in range(50):
        planted = plan.planted(seed, 23)
        first, second = planted.nans
        assert first < planted.spike - processes.CHECKPOINT_EVERY
        assert planted.spike < second <= processes.STEPS
        assert len({*planted.damaged} & {*range(23)}) == 2


def test_fifty_runs_hold_every_instant_for_each_number_of_processes_and_every_rank():
    runs = [plan.run(0, number, processes=(1, 2, 4)) for number in range(50)]
    for run in runs:
        assert collections.Counter(fault.instant for fault in run.faults) == {
            **dict.fromkeys(plan.INSTANTS, 1),
            plan.SAVE: 2,
        }
        assert run.faults[-1].instant == plan.END
    kills = collections.Counter(run.processes for run in runs for _ in run.faults)
    assert kills == {1: 210, 2: 70, 4: 70}
    assert {fault.rank for run in runs for fault in run.faults if run.processes == 4} == {0, 1, 2, 3}
    assert len({fault.share for run in runs for fault in run.faults}) > 300


def test_only_one_of_several_processes_is_stopped():
    both = [plan.run(0, number, (plan.KILL, plan.STOP), (1, 2)) for number in range(30)]
    kinds = {
        run.processes: {fault.kind for one in both if one.processes == run.processes for fault in one.faults}
        for run in both
    }
    assert kinds == {1: {plan.KILL}, 2: {plan.KILL, plan.STOP}}
    with pytest.raises(ValueError, match="at least 2"):
        plan.run(0, 0, (plan.STOP,), (1,))


def test_a_single_bit_is_a_difference():
    wanted = np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 20)
    bits = wanted.copy().view(np.uint32)
    bits[2, 7] ^= 1
    others = {"meta/position": 640, "metrics": [{"step": 2, "train/loss": 0.5}]}
    one, other = compare.State({"w": wanted}, others), compare.State({"w": bits.view(np.float32)}, others)
    assert compare.difference(one, compare.State({"w": wanted.copy()}, dict(others))) == compare.Difference((), 0.0)
    found = compare.difference(one, other)
    assert found.names == ("w",)
    assert 0 < found.largest < 1e-7
    # Equal as numbers, not as bits.
    zeros = [compare.State({"w": np.array([sign * 0.0], np.float32)}, {}) for sign in (1, -1)]
    assert compare.difference(*zeros) == compare.Difference(("w",), 0.0)


def test_what_is_missing_or_told_otherwise_is_a_difference():
    one = compare.State({"w": np.ones(2)}, {"metrics": [{"step": 2}], "ledger": "a"})
    for other in (
        compare.State({}, one.others),
        compare.State(one.arrays | {"v": np.ones(1)}, one.others),
        compare.State({"w": np.ones(2, np.float32)}, one.others),
    ):
        assert compare.difference(one, other).largest == float("inf")
    assert compare.difference(one, compare.State(one.arrays, {"ledger": "a", "metrics": []})).names == ("metrics",)


def test_what_depends_on_time_is_not_compared(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 2, "time": 1.0, "steps_per_sec": 3.0},
        {"step": 2, "time": 1.5, "train/loss": 0.25, "train/images_per_second": 9.0},
        {"step": 6, "time": 2.5, "validation/loss": 0.75},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert compare._metrics(path) == [{"step": 2, "train/loss": 0.25}, {"step": 6, "validation/loss": 0.75}]


def test_after_a_request_to_end_the_means_of_training_are_not_compared():
    lines = [{"step": 2, "train/loss": 0.25}, {"step": 6, "validation/loss": 0.75}]
    found = compare.without_means(compare.State({"w": np.ones(2)}, {"metrics": lines, "ledger": "a"}))
    assert found.others == {"metrics": lines[1:], "ledger": "a"}
    assert list(found.arrays) == ["w"]


def test_a_storage_that_fails_may_cost_snapshots_and_grids_and_nothing_else():
    whole = compare.State(
        {"w": np.ones(2), "snapshot 1/w": np.ones(2), "snapshot 2/w": np.ones(2)}, {"samples/a.png": b"a", "ledger": ""}
    )
    less = compare.State({"w": np.ones(2), "snapshot 2/w": np.ones(2)}, {"ledger": ""})
    assert compare.difference(*compare.in_both(whole, less)) == compare.Difference((), 0.0)
    other = compare.State(less.arrays | {"snapshot 2/w": np.zeros(2)}, less.others)
    assert compare.difference(*compare.in_both(whole, other)).names == ("snapshot 2/w",)
    assert compare.difference(*compare.in_both(whole, compare.State({}, {}))).names == ("ledger", "w")


def test_a_record_grows_and_is_read_again(tmp_path):
    path = tmp_path / "record.jsonl"
    first = [_line(index=index, in_save=index == 1, instant=plan.SAVE) for index in range(3)]
    record.add(path, first)
    record.add(path, [_line(run=1, outcome=record.FAILED, difference=0.0), _line(seed=9, run=4, processes=4, rank=2)])
    lines = record.read(path)
    assert [dataclasses.replace(line, statuses=()) for line in lines[:3]] == first
    assert (record.next_run(lines, 0), record.next_run(lines, 9), record.next_run(lines, 1)) == (2, 5, 0)
    found = record.summary(lines)
    assert (found["kills"], found["kills_in_save"], found["failed_restarts"], found["mismatches"]) == (5, 1, 1, 0)
    assert found["kills_by_instant"] == {plan.SAVE: 3, plan.STEP: 2}
    table = record.report(lines)
    assert "| save | 3 | 0 | 3 | 1 | 3 |" in table
    assert "4 of 5 as expected" in table
    path.write_text('{"x": 1}\n')
    with pytest.raises(ValueError, match="no record of faults"):
        record.read(path)


def test_mismatches_are_counted_by_run():
    lines = [_line(index=index, outcome=record.DIFFERS, difference=0.5) for index in range(2)]
    found = record.summary([*lines, _line(run=1)])
    assert (found["mismatches"], found["max_difference"], found["runs"], found["equal_runs"]) == (1, 0.5, 2, 1)


@pytest.mark.long
@pytest.mark.slow
def test_kills_hit_their_instants(campaign):
    run = plan.run(0, 0)
    lines = campaign(fails=-1).play(run)
    assert [line.planned for line in lines] == [fault.instant for fault in run.faults]
    hit = [line.instant == line.planned for line in lines]
    assert sum(hit) >= 5
    assert {line.instant for line in lines if line.in_save} <= {plan.SAVE, plan.STEP}
    assert {line.outcome for line in lines} == {record.EQUAL}


@pytest.mark.long
@pytest.mark.slow
def test_a_run_that_fails_to_restart_is_counted(campaign):
    run = plan.run(0, 0)
    *before, last = campaign(fails=2).play(run)
    assert last.outcome == record.FAILED
    assert before
    assert {line.outcome for line in before} == {record.UNFINISHED}
    assert record.summary([*before, last])["failed_restarts"] == 1


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", [plan.TERM, plan.STOP])
def test_processes_that_neither_save_nor_name_anybody_are_noticed(kind, campaign, monkeypatch):
    monkeypatch.setattr(strike, "LOST_SECONDS", 1)
    monkeypatch.setattr(strike, "_SLACK_SECONDS", 1.0)
    monkeypatch.setattr(strike, "TERM_SECONDS", 1.0)
    run = plan.run(0, 1, (kind,), (1, 2), (plan.STEP,))
    (line,) = campaign(fails=-1).play(run)
    assert line.wrong
    summary = record.summary([line])
    assert summary["term"]["saved_and_left_in_time"] == summary["stop"]["named_in_time"] == 0
    if kind == plan.TERM:
        assert -signal.SIGTERM in line.statuses
