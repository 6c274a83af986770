"""`dfjax launch` as a user calls it: what is printed, and what is refused in a line before anything is handed over."""

import os
import pathlib
import shlex
import subprocess
import sys

import pytest

from dfjax.runtime import heartbeats
from tests import command

ODD = "a b $HOME \"q\" 'p' \\x \n;é"
XPK = ("xpk", "--cluster=c", "--image=i", "--topology=v5e:4x4")


def _launch(*words: str, path: str | None = None) -> subprocess.CompletedProcess:
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"PATH": path} if path else {}
    arguments = [sys.executable, *command.DFJAX, "launch", *words]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)


def _recipe(room) -> tuple[str, ...]:
    return f"--config={command.RECIPE}", f"--workdir={room}"


def test_a_dry_run_prints_the_whole_command_and_starts_nothing(tmp_path):
    room = tmp_path / ODD
    words = ("local", "--hosts=2", "--dry_run", *_recipe(room), f"--config.sample.prompts={(ODD,)!r}", f"--env=A={ODD}")
    done = _launch(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = shlex.split(done.stdout)
    assert found[:2] == ["env", f"A={ODD}"]
    assert found[found.index("--") + 1 :] == ["train", *_recipe(room), f"--config.sample.prompts={(ODD,)!r}"]
    assert not room.exists()


def test_paths_are_made_absolute_and_addresses_are_left_alone(tmp_path):
    recipe = os.path.relpath(command.RECIPE)
    done = _launch(*XPK, "--dry_run", f"--config={recipe}", "--workdir=gs://bucket/run")
    assert done.returncode == 0, done.stderr
    assert f"--config={command.RECIPE} --workdir=gs://bucket/run" in done.stdout
    assert "--workload=run " in done.stdout


def test_help_of_an_engine_lists_its_own_flags_and_the_shared_ones():
    done = _launch("tpu_vm", "--help")
    assert done.returncode == 0
    for flag in ("--stage", "--spot", "--topology", "--dry_run", "--workdir"):
        assert f"  {flag} " in done.stdout
    assert "--priority" not in done.stdout


@pytest.mark.gate(5)
@pytest.mark.parametrize(
    ("words", "say"),
    [
        ((), "name the engine first"),
        (("local", "--flagfile=words", *_recipe("run")), "a --flagfile is not handed over"),
        (("slurm", "--time_limit=0m", *_recipe("run")), "no time at all"),
        (("locl",), "there is no engine 'locl'"),
        (("xpk", "--partition=p"), "--partition is a flag of slurm, and xpk has none of that name"),
        (("xpk", "--clutser=p"), "xpk has no flag --clutser; did you mean --cluster?"),
        (("local", "--restarts=2"), "local takes no --restarts"),
        (("local", "--topology=h100:8"), "and `dfjax train` is that process"),
        (("local", "--topology=v5e:3x5"), "no such slice is offered; try v5e:"),
        (("xpk", "--topology=v5e:4x4", "--image=i"), "--cluster=NAME"),
        ((*XPK, "--hosts=3"), "v5e:4x4 has 4: leave --hosts out"),
        ((*XPK, "--priority=urgent"), "priority"),
        ((*XPK, "--time_limit=2h"), "xpk takes no --time_limit"),
        (("local", "--env=A"), "--env='A' is no NAME=VALUE"),
        (("local", "--name=My_Run"), "lower-case letters"),
        (("local", "--config.train.batch_size=15", "--hosts=2"), "--config.train.batch_size=16"),
        (("local", "--config.train.batchsize=15"), "did you mean 'train.batch_size'?"),
        (("local", "word"), "what is 'word'?"),
        (("tpu_vm", "--sweep"), "tpu_vm takes no sweep"),
    ],
)
def test_wrong_use_is_refused_in_words_with_what_to_do(words, say, tmp_path):
    # The engine comes first, and a recipe before what overrides its keys.
    done = _launch(*words[:1], *_recipe(tmp_path / "run"), *words[1:])
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("dfjax: ") and say in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == (5 if "engine" in say else 1)
    assert not (tmp_path / "run").exists()


def test_a_missing_engine_is_told_and_a_dry_run_does_without_it(tmp_path):
    python = str(pathlib.Path(sys.executable).parent)
    words = (*XPK, *_recipe(tmp_path / "run"))
    done = _launch(*words, path=python)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "there is no xpk on this machine" in line and "--dry_run" in line
    assert _launch(*words, "--dry_run", path=python).returncode == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    done = _launch("local", "--dry_run", *_recipe(tmp_path))
    assert done.returncode == 1
    assert "is not empty and no run of dfjax: choose another --workdir" in done.stderr


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    done = _launch("local", "--dry_run", *_recipe(tmp_path / "notes.txt" / "run"))
    assert done.returncode == 1
    assert "notes.txt is a file and no folder: choose another --workdir" in done.stderr


def test_a_work_directory_in_use_is_refused_and_its_signs_of_life_are_left_alone(tmp_path):
    folder = tmp_path / "run" / "heartbeats"
    folder.mkdir(parents=True)
    # The second process of a run; this process gives its sign of life.
    heartbeats.Heart(folder, 1).beat()
    before = heartbeats.path(folder, 1).read_bytes()
    done = _launch(*XPK, "--dry_run", *_recipe(tmp_path / "run"))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"{tmp_path / 'run'} is in use by process 1" in line and "choose another --workdir" in line
    assert [path.name for path in folder.iterdir()] == ["process_1.json"]
    assert heartbeats.path(folder, 1).read_bytes() == before


def test_a_sweep_is_what_the_sweep_command_hands_over(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        command.RECIPE.read_text() + "\n\ndef sweep():\n    yield {'train.seed': 1}\n    yield {'train.seed': 2}\n"
    )
    words = (f"--config={recipe}", f"--workdir={tmp_path / 'sweep'}", "--dry_run", *XPK[1:])
    done = _launch("xpk", "--sweep", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == command.dfjax("sweep", "--backend=xpk", *words).stdout
    assert done.stdout.count("xpk workload create") == 2
