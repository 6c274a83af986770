"""Evaluate a run's checkpoints as a user does: afterwards, beside the training, and killed again and again."""

import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from dfjax.checkpoint.workdir import Workdir
from tests import command
from tests.cli.conftest import OVERRIDES

# Quick ones: no network of 17 MB, no text.
QUICK = ("--evaluators=validation", "--num_images=4", "--batch_size=4")


def _evaluate(room, *flags):
    return command.dfjax("evaluate", f"--workdir={room}", command.compiled(), *flags)


def _lines(room):
    return [json.loads(line) for line in (room / "eval" / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained[0].path, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.long
def test_every_figure_is_printed_and_kept_and_nothing_is_measured_twice(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = _evaluate(copy, "--num_images=12", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = _lines(copy)
    assert [json.loads(line) for line in done.stdout.splitlines()] == lines
    names = {line["name"] for line in lines if line["step"] == 6}
    assert {"validation_loss", "kid_efficientnet_lite0", "caption_rank", "near_copies", "heldout_win"} <= names
    assert {line["split"] for line in lines} == {"train", "real"}
    assert "Traceback" not in done.stderr
    again = _evaluate(copy, "--num_images=12")
    assert (again.returncode, again.stdout) == (0, "")
    assert _lines(copy) == lines
    # Other batches on eight devices.
    shutil.rmtree(copy / "eval")
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8")
    spread = _evaluate(copy, "--num_images=12", "--batch_size=7", "--step=latest")
    assert spread.returncode == 0, spread.stderr[-3000:]
    wanted = {(line["split"], line["name"]): line for line in lines if line["step"] in (0, 6)}
    found = {(line["split"], line["name"]): line for line in _lines(copy)}
    assert found.keys() == wanted.keys()
    for key, line in found.items():
        assert line["value"] == pytest.approx(wanted[key]["value"], rel=1e-4, abs=1e-5), key
        assert line["stderr"] == pytest.approx(wanted[key]["stderr"], rel=1e-3, abs=1e-5), key


@pytest.mark.gate(2)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--evaluators=validation,fid",), "takes some of validation, distances, .* not 'fid'"),
        (("--features=inception",), "did you mean 'inception_v3'"),
        (("--evaluators=distances", "--features=inception_v3"), "give --weights=FILE with pt_inception"),
        (("--evaluators=clip",), "name a folder with model.safetensors, .* --clip=FOLDER"),
        (("--step=5",), "no checkpoint of step 5; it has 6; --watch waits for one"),
        (("--step=newest",), "--step is all, latest or the number of a step"),
        (("--split=valid", "--evaluators=distances"), "no split 'valid'; it has"),
        (("--num_images=1",), "num_images"),
    ],
)
def test_wrong_use_is_answered_in_a_line_and_nothing_is_drawn(trained, flags, words):
    done = _evaluate(trained[0].path, *flags)
    assert done.returncode in (1, 2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dfjax: ")
    assert re.search(words, last), last
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_damaged_checkpoint_is_no_reason_to_leave_the_others(copy):
    shutil.copytree(copy / "checkpoints" / "step_6", copy / "checkpoints" / "step_5")
    (copy / "checkpoints" / "step_5" / "ema" / "_sharding").write_text("{}")
    done = _evaluate(copy, *QUICK)
    assert done.returncode == 1
    assert "step 5 is passed over: the checkpoint" in done.stderr
    assert done.stderr.strip().endswith("not evaluated, as said above: step 5")
    assert {line["step"] for line in _lines(copy)} == {6}


def test_a_newest_checkpoint_that_lacks_something_is_passed_over_with_a_line(copy):
    shutil.copytree(copy / "checkpoints" / "step_6", copy / "checkpoints" / "step_7")
    shutil.rmtree(copy / "checkpoints" / "step_7" / "ema")
    done = _evaluate(copy, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "step 7 is passed over: it is being deleted, or damaged" in done.stderr
    assert {line["step"] for line in _lines(copy)} == {6}


def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(tmp_path):
    done = _evaluate(tmp_path / "missing", *QUICK)
    assert done.returncode == 1
    assert "does not exist: `dfjax train" in done.stderr
    assert not (tmp_path / "missing").exists()


@pytest.mark.long
def test_inside_training_the_same_is_measured_and_not_again_afterwards(tmp_path, damaged):
    changes = (
        "train.tensorboard=True",
        "eval.every_steps=3",
        "eval.evaluators=('validation',)",
        "eval.num_images=4",
        "eval.batch_size=4",
    )
    done = command.dfjax(*command.train(tmp_path / "run", damaged, *OVERRIDES, *changes))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = _lines(tmp_path / "run")
    assert {line["step"] for line in lines} == {3, 6}
    means = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    told = {line["step"]: line["validation/loss"] for line in means if "validation/loss" in line}
    measured = {line["step"]: line["value"] for line in lines if line["name"] == "validation_loss"}
    assert measured == pytest.approx(told, rel=1e-5)
    assert (tmp_path / "run" / "eval" / "grids" / "step_3.png").exists()
    again = _evaluate(tmp_path / "run")
    assert (again.returncode, again.stdout) == (0, "")
    # Curves of both kinds.
    assert any((tmp_path / "run" / "eval").glob("events.out.tfevents*"))
    shutil.rmtree(tmp_path / "run" / "eval")
    assert _evaluate(tmp_path / "run", *QUICK).returncode == 0
    assert any((tmp_path / "run" / "eval").glob("events.out.tfevents*"))


@pytest.mark.long
def test_beside_a_training_each_checkpoint_is_evaluated_once_however_often_it_is_killed(tmp_path, damaged):
    room = Workdir(tmp_path / "run")
    flags = ("evaluate", f"--workdir={room.path}", "--watch", "--poll_seconds=0.2", *QUICK)
    changes = ("train.num_steps=12", "train.checkpoint_every_steps=4", "train.keep_last=10", "train.spike_window=99")
    # The first one comes before the run has begun, as it says, and is not to be in its way.
    watching = command.start(*flags)
    assert watching.stderr.readline()
    training = command.start(
        *command.train(room.path, damaged, *(o for o in OVERRIDES if "num_steps" not in o), *changes)
    )
    chance, kills = random.Random(0), 0
    deadline = time.monotonic() + 400
    while True:
        assert time.monotonic() < deadline
        try:
            # Some fall into its start, some into a drawing, some into what is written.
            _, words = watching.communicate(timeout=100 if kills >= 5 else chance.uniform(1, 4 + 4 * kills))
            break
        except subprocess.TimeoutExpired:
            watching.kill()
            watching.communicate()
            kills += 1
            watching = command.start(*flags)
        assert training.poll() in (None, 0), training.communicate()[1][-2000:]
    assert training.wait(60) == 0
    assert watching.returncode == 0, words[-2000:]
    assert "is finished: all its checkpoints are evaluated" in words
    steps = [line["step"] for line in _lines(room.path) if line["name"] == "validation_loss"]
    assert sorted(steps) == [4, 8, 12]
    assert kills >= 1
