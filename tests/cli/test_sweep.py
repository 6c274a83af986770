"""A sweep by the command, with real runs: killed, told to end, repeated, searched; and wrong uses in a line."""

import json
import os
import pathlib
import re
import signal
import time

import pytest

from dfjax.checkpoint.lock import Lock
from dfjax.checkpoint.workdir import Workdir
from dfjax.runtime import heartbeats
from tests import command

WEIRD = 'it\'s a "red" apple; `x` $HOME\n\\ ü'
# Runs that last some seconds, since they save so often.
LASTING = ("train.num_steps=120", "train.checkpoint_every_steps=10", "train.log_every_steps=10", "train.keep_last=1")


def _recipe(folder: pathlib.Path, body: str) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.py"
    path.write_text(f"import runpy\nget_config = runpy.run_path({str(command.RECIPE)!r})['get_config']\n{body}\n")
    return path


def _words(recipe, workdir, data: str, *overrides: str) -> list[str]:
    flags = [f"--config={recipe}", f"--workdir={workdir}", f"--config.data.dir={data}", command.compiled()]
    return ["sweep", *flags, *(f"--config.{override}" for override in overrides)]


def _status(workdir) -> dict[int, dict]:
    done = command.dfjax("sweep", "status", f"--workdir={workdir}", "--json")
    assert done.returncode == 0, done.stderr
    return {run["line"]: run for run in json.loads(done.stdout)["runs"]}


@pytest.fixture
def start():
    """A command in the background, which a test that fails leaves nothing behind of."""
    started = []

    def run(*words: str):
        started.append(command.start(*words))
        return started[-1]

    yield run
    for process in started:
        # Told to end, a sweep takes its runs with it.
        process.terminate()
        process.communicate()


def _wait(what, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lines(room: Workdir) -> list[dict]:
    return [json.loads(line) for line in room.metrics.read_text().splitlines()]


def _check_nothing_twice(room: Workdir) -> None:
    """Every step that was due was logged, and none was logged twice."""
    steps = [line["step"] for line in _lines(room) if "train/loss" in line]
    assert steps == sorted(set(steps))
    assert set(steps) >= set(range(10, 121, 10))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.resume
def test_a_run_that_is_killed_is_all_that_a_repeat_goes_on_with(damaged, tmp_path, start):
    lines = [{"train.seed": 1, "sample.negative_prompt": WEIRD}, {"train.seed": 2}, {"train.seed": 3}]
    recipe = _recipe(tmp_path, f"def sweep():\n    return {lines!r}")
    folder = tmp_path / "the sweep's"
    words = _words(recipe, folder, damaged, *LASTING)
    process = start(*words, "--parallel=2")
    _wait(lambda: (folder / "sweep.jsonl").exists())
    names = [json.loads(line)["name"] for line in (folder / "sweep.jsonl").read_text().splitlines()[1:]]
    rooms = [Workdir(folder / name) for name in names]
    _wait(lambda: rooms[1].steps())
    os.kill(heartbeats.read(heartbeats.path(rooms[1].heartbeats, 0)).pid, signal.SIGKILL)
    ((status, said),) = command.ends([process])
    assert status == 1
    assert f"dfjax: line 2 ({names[1]}) killed (status 137)" in said
    assert "Traceback" not in said
    found = _status(folder)
    assert [found[number]["state"] for number in (1, 2, 3)] == ["finished", "cut", "finished"]
    frozen = (folder / "sweep.jsonl").read_bytes()
    before = [room.metrics.read_bytes() for room in rooms]
    saved = rooms[1].steps()[-1]
    kept = [line for line in _lines(rooms[1]) if line["step"] <= saved]
    assert 0 < saved < 120

    again = command.dfjax(*words, "--parallel=2")
    assert again.returncode == 0, again.stderr
    assert "3 runs: 1 to start, 0 at work, 2 done" in again.stderr
    assert [run["state"] for run in _status(folder).values()] == ["finished"] * 3
    assert (folder / "sweep.jsonl").read_bytes() == frozen
    assert [rooms[place].metrics.read_bytes() for place in (0, 2)] == [before[0], before[2]]
    assert _lines(rooms[1])[: len(kept)] == kept
    for room in rooms:
        _check_nothing_twice(room)
    # Whatever a value is, it comes to the run whole.
    configs = [json.loads(room.config.read_text()) for room in rooms]
    assert [config["train"]["seed"] for config in configs] == [1, 2, 3]
    assert configs[0]["sample"]["negative_prompt"] == WEIRD

    # One line by itself, as an engine runs it: it has nothing left to do.
    alone = command.dfjax("sweep", "run", f"--workdir={folder}", "--line=2", command.compiled())
    assert alone.returncode == 0
    assert "is finished: nothing to do" in alone.stderr


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.resume
def test_a_sweep_that_is_told_to_end_saves_and_goes_on_line_by_line_too(damaged, tmp_path, start):
    recipe = _recipe(tmp_path, "def sweep():\n    return [{'train.seed': seed} for seed in (1, 2, 3)]")
    folder = tmp_path / "sweep"
    # So long that the third line still runs when another start of it has loaded its libraries.
    words = _words(recipe, folder, damaged, *LASTING, "train.num_steps=300")
    process = start(*words, "--parallel=2")
    rooms = [Workdir(folder / f"seed={seed}") for seed in (1, 2, 3)]
    _wait(lambda: rooms[0].steps() and rooms[1].steps())
    assert {_status(folder)[number]["state"] for number in (1, 2)} <= {"running", "finished"}
    process.send_signal(signal.SIGTERM)
    ((status, said),) = command.ends([process])
    assert status == 42
    assert said.splitlines()[-1] == "dfjax: told to end: the same command goes on"
    assert not rooms[2].path.exists()
    found = _status(folder)
    assert found[3]["state"] == "new"
    # A line by itself has the status, the signals and the further words of `dfjax train`.
    run = ["sweep", "run", f"--workdir={folder}", command.compiled()]
    for number in (1, 2):
        done = command.dfjax(*run, f"--line={number}", "--distributed=off")
        assert done.returncode == 0, done.stderr
        _check_nothing_twice(rooms[number - 1])
    third = start(*run, "--line=3")
    _wait(lambda: rooms[2].steps())
    twice = command.dfjax(*run, "--line=3")
    assert twice.returncode == 1
    assert "is in use by" in twice.stderr
    third.send_signal(signal.SIGTERM)
    ((status, _),) = command.ends([third])
    assert status == 42
    assert _status(folder)[3]["state"] == "cut"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.resume
def test_a_search_prunes_what_is_hopeless_and_goes_on_after_a_kill(damaged, tmp_path, start):
    pytest.importorskip("optuna")
    rates = (1e-2, 2e-2, 1e-9)
    body = (
        "def search(trial):\n"
        "    trial.suggest_float('unused', 0, 1)\n"
        f"    return {{'optim.learning_rate': {rates}[trial.number]}}"
    )
    recipe, folder = _recipe(tmp_path, body), tmp_path / "search"
    more = ["--search", "--trials=3", "--startup_trials=2"]
    words = _words(recipe, folder, damaged, *LASTING, "train.validate_every_steps=10")
    process = start(*words, *more)
    first = Workdir(folder / f"001,learning_rate={rates[0]}")
    _wait(lambda: first.steps())
    process.kill()
    process.wait()
    # Its run goes on, and is found at work.
    done = command.dfjax(*words, *more)
    assert done.returncode == 0, done.stderr
    found = _status(folder)
    assert [found[number]["state"] for number in (1, 2, 3)] == ["finished", "finished", "pruned"]
    assert 10 <= found[3]["step"] < 120
    for number in (1, 2):
        _check_nothing_twice(Workdir(folder / found[number]["name"]))
    # It saved when it was given up; but an engine that starts it again starts nothing.
    pruned = Workdir(folder / found[3]["name"])
    assert pruned.steps()
    before = pruned.metrics.read_bytes()
    assert command.dfjax("sweep", "run", f"--workdir={folder}", "--line=3").returncode == 0
    assert pruned.metrics.read_bytes() == before


SWEEP = "def sweep():\n    return [{'model.width': width} for width in (16, 32)]"


@pytest.mark.gate(4)
@pytest.mark.parametrize(
    ("body", "words", "said"),
    [
        ("", [], "has no function sweep()"),
        ("def sweep():\n    return [{'model.widht': 1}]", [], "unknown config key 'model.widht'"),
        (SWEEP, ["--backend=ssh"], "backend"),
        (SWEEP, ["--partition=main"], "--partition is a flag of slurm, and local has none of that name"),
        (SWEEP, ["--backend=local", "--time_limit=3h"], "local takes no --time_limit"),
        (SWEEP, ["--topology=cpu:3"], "16 is no multiple of 3"),
        (SWEEP, ["--topology=h100:8"], "local starts processes of CPUs, not of h100:8"),
        (SWEEP, ["--backend", "xpk", "--partition=main"], "--partition is a flag of slurm, and xpk has none"),
        (SWEEP, ["--topology=v9:4"], "v9"),
        (SWEEP, ["go"], "what is 'go'?"),
        (SWEEP, ["--search"], "has no function search(trial)"),
        (SWEEP, ["--search", "--config.data.validation_split="], "a search goes by the validation loss"),
        (SWEEP, ["--parallel=-1"], "parallel"),
        (SWEEP, ["--config.model.heads=5"], "'model.heads'"),
    ],
)
def test_what_cannot_be_swept_is_told_in_a_line_and_nothing_starts(body, words, said, tmp_path):
    recipe = _recipe(tmp_path / "of", body)
    done = command.dfjax("sweep", f"--config={recipe}", f"--workdir={tmp_path / 'sweep'}", *words)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert said in last
    assert last.startswith("dfjax: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("sweep/*=*"))


@pytest.mark.gate(3)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "is no sweep"),
        (["report"], "is no sweep"),
        (["run", "--line=1"], "is no sweep"),
        (["run"], "--line"),
        (["status", "--srot=x"], "srot"),
        (["report", "--out=page.txt"], "is no sweep"),
        (["status", "now"], "what is 'now'?"),
    ],
)
def test_a_folder_that_is_no_sweep_is_told_in_a_line(words, said, tmp_path):
    done = command.dfjax("sweep", words[0], f"--workdir={tmp_path}", *words[1:])
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_dry_run_says_all_and_writes_nothing(tmp_path):
    recipe = _recipe(tmp_path / "of", SWEEP)
    folder = tmp_path / "a sweep"
    done = command.dfjax("sweep", f"--config={recipe}", f"--workdir={folder}", "--dry_run", "--env=A=b c")
    assert done.returncode == 0, done.stderr
    assert f"# file {folder / 'sweep.jsonl'}" in done.stdout
    assert f"'--workdir={folder / 'width=16'}'" in done.stdout
    assert "--config.model.width=32" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("env 'A=b c' ")
    assert not folder.exists()


def test_slurm_is_given_one_array_of_what_is_left(tmp_path):
    recipe = _recipe(tmp_path / "of", SWEEP)
    folder = tmp_path / "a sweep"
    flags = ["--backend=slurm", "--partition=main", "--parallel=1", "--dry_run"]
    done = command.dfjax("sweep", f"--config={recipe}", f"--workdir={folder}", *flags)
    assert done.returncode == 0, done.stderr
    assert "#SBATCH --array=1-2%1" in done.stdout or "#SBATCH --array=1,2%1" in done.stdout
    assert "#SBATCH --partition=main" in done.stdout


def test_xpk_is_given_a_workload_for_each_line(tmp_path):
    recipe = _recipe(tmp_path / "of", SWEEP)
    flags = [
        "--backend=xpk",
        "--cluster=c",
        "--image=i",
        "--topology=v5e:2x4",
        "--config.mesh.fsdp=-1",
        "--config.mesh.data=1",
        "--dry_run",
    ]
    done = command.dfjax("sweep", f"--config={recipe}", f"--workdir={tmp_path / 'sweep'}", *flags)
    assert done.returncode == 0, done.stderr
    assert [f"--line={number}" in done.stdout for number in (1, 2, 3)] == [True, True, False]
    assert re.search(r"--workload=sweep-[0-9a-f]{6}-1 ", done.stdout)


@pytest.mark.long
def test_what_an_engine_started_and_failed_at_once_is_told_with_its_reason(tmp_path):
    recipe, folder = _recipe(tmp_path / "of", SWEEP), tmp_path / "sweep"
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 7\n")
    sbatch.chmod(0o755)
    words = ["sweep", f"--config={recipe}", f"--workdir={folder}", f"--config.data.dir={tmp_path / 'nowhere'}"]
    env = {"PATH": f"{sbatch.parent}:/usr/bin:/bin"}

    def submit(*more: str) -> None:
        process = command.start(*words, "--backend=slurm", *more, **env)
        assert process.communicate(timeout=300)[0].startswith("7")

    submit()
    assert _status(folder)[1]["state"] == "new"
    # What the job does, on data that are not there; and where the recipe is not there either.
    assert command.dfjax("sweep", "run", f"--workdir={folder}", "--line=1").returncode == 1
    recipe.rename(tmp_path / "moved.py")
    assert command.dfjax("sweep", "run", f"--workdir={folder}", "--line=2").returncode == 2
    (tmp_path / "moved.py").rename(recipe)
    submit("--sbatch_args=--test-only")
    found = _status(folder)
    assert [found[line]["state"] for line in (1, 2)] == ["failed", "failed"]
    assert "nowhere" in found[1]["words"]
    assert "recipe.py is not on this host" in found[2]["words"]
    submit()
    assert _status(folder)[2]["state"] == "new"


def test_a_folder_below_a_file_is_told_in_a_line(tmp_path):
    recipe = _recipe(tmp_path / "of", SWEEP)
    done = command.dfjax("sweep", f"--config={recipe}", f"--workdir={recipe / 'sweep'}")
    assert done.returncode == 1
    assert "a part of the path is a file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_that_has_changed_is_refused_and_stays(tmp_path):
    recipe = _recipe(tmp_path / "of", SWEEP)
    words = ["sweep", f"--config={recipe}", f"--workdir={tmp_path / 'sweep'}"]
    # There is no such data: each run fails, and none ends the others.
    nowhere = f"--config.data.dir={tmp_path / 'nowhere'}"
    first = command.dfjax(*words, nowhere)
    assert first.returncode == 1
    assert "dfjax: line 1 (width=16) failed (status" in first.stderr
    assert "dfjax: line 2 (width=32) failed (status" in first.stderr
    told = command.dfjax("sweep", "status", f"--workdir={tmp_path / 'sweep'}")
    assert "2 runs: 2 failed" in told.stdout
    frozen = (tmp_path / "sweep" / "sweep.jsonl").read_bytes()
    _recipe(tmp_path / "of", SWEEP.replace("32", "48"))
    again = command.dfjax(*words, nowhere)
    assert again.returncode == 2
    assert "has another sweep: line 2: model.width=32 -> model.width=48" in again.stderr
    assert (tmp_path / "sweep" / "sweep.jsonl").read_bytes() == frozen


def test_who_comes_second_changes_nothing(tmp_path):
    recipe, sweep = _recipe(tmp_path / "of", SWEEP), tmp_path / "sweep"
    words = ["sweep", f"--config={recipe}", f"--workdir={sweep}", "--backend=slurm"]
    # Frozen, and then refused for want of an engine.
    env = {"PATH": str(tmp_path)}
    process = command.start(*words, **env)
    assert "there is no sbatch" in process.communicate(timeout=300)[1]
    frozen = (sweep / "sweep.jsonl").read_bytes()
    lock = Lock(sweep)
    assert lock.take()
    second = command.dfjax(*words, "--config.data.workers=1")
    lock.leave()
    assert second.returncode == 2
    assert "another dfjax sweep is at work" in second.stderr
    assert (sweep / "sweep.jsonl").read_bytes() == frozen
