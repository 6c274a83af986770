"""The table of a sweep: how far each run is, and which is best."""

import json

import pytest

from dfjax.checkpoint.workdir import Workdir
from dfjax.launching.errors import JobError
from dfjax.sweeps import scores, table
from tests.report import made_up as runs
from tests.sweeps import made_up


@pytest.fixture
def sweep(tmp_path):
    """Four runs: one finished, one cut and better, one whose losses are not finite, and one that is new."""
    made = made_up.sweep(tmp_path, *({"model.width": width} for width in (16, 32, 48, 64)))
    workdirs = [made.workdir(line).path for line in made.lines]
    made_up.trained(workdirs[0], {10: 0.5, 20: 0.75}, saved=20)
    made_up.trained(workdirs[1], {5: 0.25}, saved=5)
    made_up.trained(workdirs[2], {5: 0.25})
    runs.write_lines(workdirs[2] / "metrics.jsonl", [{"step": 5, "time": 0.0, "validation/loss": "nan"}])
    return made


def test_it_is_sorted_by_the_best_value_and_what_has_none_comes_last(sweep):
    found = table.make(sweep)
    assert [row.line.number for row in found.rows] == [2, 1, 3, 4]
    assert [row.best and (row.best.step, row.best.value) for row in found.rows] == [(5, 0.25), (10, 0.5), None, None]
    assert [(row.progress.state.value, row.progress.step) for row in found.rows] == [
        ("cut", 5),
        ("finished", 20),
        ("cut", 5),
        ("new", 0),
    ]
    assert found.counts == {"new": 1, "cut": 2, "finished": 1}
    assert [row.line.number for row in table.make(sweep, "line").rows] == [1, 2, 3, 4]


def test_its_words_have_a_line_a_run(sweep):
    heads, *rows = table.text(table.make(sweep)).splitlines()
    assert heads.split() == ["line", "state", "step", "best", "validation/loss", "at", "step", "width"]
    assert [row.split() for row in rows[:4]] == [
        ["2", "cut", "5/20", "0.25", "5", "32"],
        ["1", "finished", "20/20", "0.5", "10", "16"],
        ["3", "cut", "5/20", "–", "–", "48"],
        ["4", "new", "0/20", "–", "–", "64"],
    ]
    assert rows[-1] == "4 runs: 1 new, 2 cut, 1 finished"


def test_it_is_json_for_programs(sweep):
    said = json.loads(json.dumps(table.to_json(table.make(sweep))))
    assert said["metric"] == {"name": "validation/loss", "better": "lower"}
    assert said["runs"][0]["best"] == {"value": 0.25, "step": 5}
    assert said["runs"][0]["overrides"] == {"model.width": 32}
    assert said["runs"][3]["best"] is None


@pytest.mark.parametrize(("name", "said"), [("caption_top1", {}), ("brightness", {"better": "higher"})])
def test_figures_of_evaluation_sort_too_by_their_own_direction(name, said, sweep):
    for line, value in zip(sweep.lines, (0.25, 0.75, 0.5), strict=False):
        runs.figures(sweep.workdir(line).path, [runs.figure(5, name, value, **said)])
    found = table.make(sweep, name)
    assert (found.way, [row.line.number for row in found.rows]) == ("higher", [2, 3, 1, 4])


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("validation/los", "no run has 'validation/los'; did you mean 'validation/loss'?"),
        ("data/words", "neither less nor more is better"),
    ],
)
def test_a_metric_that_nothing_can_be_sorted_by_is_refused(metric, words, sweep):
    workdir = sweep.workdir(sweep.lines[0])
    with workdir.metrics.open("a") as file:
        file.write(json.dumps({"step": 20, "time": 0.0, "data/words": 3.0}) + "\n")
    with pytest.raises(JobError) as error:
        table.make(sweep, metric)
    assert words in str(error.value)


def test_a_failed_run_says_why(sweep):
    made_up.beat(sweep.workdir(sweep.lines[3]).path, 1, "the disk is full")
    assert table.text(table.make(sweep)).splitlines()[-1] == "line 4 failed: the disk is full"


def test_a_run_that_went_back_is_judged_by_what_came_of_it(tmp_path):
    made_up.trained(tmp_path, {5: 0.5, 10: 0.125, 15: 0.25})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "time": 1.0, "validation/loss": 0.75}\n{"step": 12, "validation/lo')
    workdir = Workdir(tmp_path)
    assert [(p.step, p.value) for p in scores.points(workdir, "validation/loss")] == [(5, 0.5), (10, 0.75)]
    assert scores.best(workdir, "validation/loss", "lower").value == 0.5
    assert scores.last_step(workdir) == 10


def test_a_thousand_runs_are_all_told_and_each_rightly(tmp_path):
    made = made_up.sweep(tmp_path, *({"train.seed": seed} for seed in range(1000)))
    for line in made.lines:
        number, workdir = line.number, made.workdir(line).path
        if number % 4:
            losses = {5: 2.0 + number, 10: 1.0 + number}
            made_up.trained(workdir, losses, saved={1: 0, 2: 10, 3: made_up.STEPS}[number % 4])
    found = table.make(made)
    assert found.counts == {"new": 250, "cut": 500, "finished": 250}
    assert [row.line.number for row in found.rows if row.best] == [n for n in range(1, 1001) if n % 4]
    assert all(row.best.value == 1.0 + row.line.number for row in found.rows if row.best)
