"""What a work directory says of its run, and in what configs differ."""

import json

import pytest

from dfjax.checkpoint.store import CheckpointError
from dfjax.report import differences, run
from tests.report import made_up


def test_a_run_that_has_only_begun_is_a_run(tmp_path):
    found = run.read(made_up.run(tmp_path / "run"))
    assert (found.name, found.step, found.num_steps, found.is_finished) == ("run", 0, 100, False)
    assert (found.parameters, found.train_seconds, found.checkpoints, found.curves) == (None, None, [], {})
    assert found.images_seen == 0


def test_a_run_is_as_far_as_its_newest_line(tmp_path):
    room = made_up.run(tmp_path / "run")
    made_up.training(room, {10: 1.0, 60: 0.5})
    made_up.checkpoint(room, 50, train_seconds=12.5)
    found = run.read(room)
    assert (found.step, found.is_finished, found.images_seen, found.train_seconds) == (60, False, 480, 12.5)
    assert found.last_time == 1060.0


def test_a_run_is_finished_once_its_last_step_is_saved(tmp_path):
    room = made_up.run(tmp_path / "run")
    made_up.training(room, {100: 1.0})
    assert not run.read(room).is_finished
    made_up.checkpoint(room, 100)
    assert run.read(room).is_finished


def test_runs_are_named_by_what_tells_them_apart(tmp_path):
    paths = [made_up.run(tmp_path / "a" / "run"), made_up.run(tmp_path / "b" / "run"), tmp_path / "a" / "run" / "."]
    assert [each.name for each in run.read_all(paths)] == ["a/run", "b/run"]
    assert [each.name for each in run.read_all(paths[:1])] == ["run"]


def test_what_is_no_run_is_refused_in_words(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dog.jpg").touch()
    for name, why in (
        ("missing", "there is no folder"),
        ("empty", "holds no run yet"),
        ("photos", "is no run of dfjax"),
    ):
        with pytest.raises(CheckpointError, match=f"{why}.*name the --workdir of a run"):
            run.read(tmp_path / name)


def test_a_checkpoint_that_is_damaged_costs_the_report_nothing(tmp_path):
    room = made_up.run(tmp_path / "run")
    made_up.checkpoint(room, 50)
    (room / "checkpoints" / "step_50" / "meta" / "metadata").write_text("[" * 100_000)
    (room / "checkpoints" / "step_60").mkdir()
    (room / "parameters.txt").write_bytes(b"\xff\xfe")
    found = run.read(room)
    assert (found.checkpoints, found.train_seconds, found.parameters) == ([50], None, None)


def test_one_run_differs_from_the_defaults(tmp_path):
    path = made_up.run(tmp_path / "run", model={"width": 64, "heads": 4}) / "config.json"
    found = {each.key: (each.default, each.values) for each in differences.find([differences.read(path)])}
    assert found["model.width"] == ("384", ["64"])
    assert found["data.resolution"] == ("32", ["8"])
    assert set(found) == {"model.width", "model.heads", "data.resolution", "train.num_steps", "train.batch_size"}


def test_several_runs_differ_from_each_other(tmp_path):
    rates = [made_up.run(tmp_path / str(rate), optim={"learning_rate": rate}) / "config.json" for rate in (1e-3, 2e-3)]
    (only,) = differences.find([differences.read(path) for path in rates])
    assert (only.key, only.default, only.values) == ("optim.learning_rate", "0.001", ["0.001", "0.002"])
    assert only.meaning
    assert differences.find([differences.read(rates[0])] * 2) == []


def test_a_config_of_another_version_is_compared_all_the_same(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"optim": {"learning_rate": 1, "gone": "x"}, "model": 3}))
    old, new = differences.read(path), {"optim.learning_rate": 1.0}
    found = {each.key: (each.default, each.values) for each in differences.find([old, new, {}])}
    # 1 and 1.0 are one; what cannot be read is unknown.
    assert found == {"optim.gone": (None, ['"x"', None, None])}
    path.write_text("[" * 100_000)
    assert differences.read(path) == {}
