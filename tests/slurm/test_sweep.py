"""A sweep of six as an array of a real Slurm: one of them is killed, and the same command again finishes it alone."""

import json
import pathlib
import sys

import pytest

from tests.slurm import runs

_RECIPE = """
import runpy

from dfjax.sweeps import grid

get_config = runpy.run_path({recipe!r})["get_config"]


def sweep():
    return grid.product({{"optim.learning_rate": (1e-3, 2e-3, 4e-3)}}, {{"train.seed": (1, 2)}})
"""
_KILLED = 2
# Each run compiles a program of its own, as its learning rate and seed are part of it.
_SHORTER = ("model.depth=1",)


def _table(cluster, folder: pathlib.Path) -> dict[int, dict]:
    """The runs of the sweep by line, as ``dfjax sweep status`` tells."""
    words = [sys.executable, "-m", "dfjax.cli.main", "sweep", "status", f"--workdir={folder}", "--json"]
    return {run["line"]: run for run in json.loads(cluster.run(*words, cwd=runs.ROOT))["runs"]}


def _finished(cluster, folder: pathlib.Path) -> set[int]:
    return {line for line, run in _table(cluster, folder).items() if run["state"] == "finished"}


def _starts(folder: pathlib.Path) -> int:
    return runs.log(folder).count("mesh: {")


@pytest.mark.long
def test_a_sweep_of_six_is_finished_by_one_repeat_and_nothing_is_trained_twice(cluster, emoji_dir, cache, tmp_path):
    folder = tmp_path / "sweep"
    (tmp_path / "recipe.py").write_text(_RECIPE.format(recipe=str(runs.RECIPE)))
    _, *flags = runs.words(folder, emoji_dir, cache, *_SHORTER)
    command = ["sweep", f"--config={tmp_path / 'recipe.py'}", *flags, "--backend=slurm", "--restarts=0"]
    slow = runs.slow_python(tmp_path, task=str(_KILLED))
    job = runs.dfjax(cluster, *command, "--parallel=3", python=slow).split()[0]
    run = folder / _table(cluster, folder)[_KILLED]["name"]
    cluster.until(lambda: runs.beat(run, 0).get("step", 0) > runs.SLOW_FROM, 300)
    beat = runs.beat(run, 0)
    cluster.nodes[beat["host"]].run("kill", "-KILL", str(beat["pid"]))
    cluster.until(lambda: not cluster.run("squeue", "--noheader", f"--job={job}", "--states=PD,R,CG"), 300)
    others = {1, 2, 3, 4, 5, 6} - {_KILLED}
    assert _finished(cluster, folder) == others
    assert _starts(folder) == 6
    before = {line: _checkpoints(folder, table) for line, table in _table(cluster, folder).items() if line in others}

    # From another machine, its end shows only by its silence.
    cluster.until(lambda: _table(cluster, folder)[_KILLED]["state"] == "cut", 120)
    again = runs.dfjax(cluster, *command, "--parallel=3").split()[0]
    cluster.until(lambda: not cluster.run("squeue", "--noheader", f"--job={again}", "--states=PD,R,CG"), 300)
    assert _finished(cluster, folder) == others | {_KILLED}
    # Only the one that was killed was started again, and from where it was.
    assert _starts(folder) == 7
    assert f"{run} has a run" in runs.log(folder)
    after = {line: _checkpoints(folder, table) for line, table in _table(cluster, folder).items() if line in others}
    assert after == before


def _checkpoints(folder: pathlib.Path, table: dict) -> list[tuple[str, int]]:
    """Of a run, the files of its checkpoints and when they were written."""
    files = sorted((folder / table["name"] / "checkpoints").rglob("*"))
    return [(str(path), path.stat().st_mtime_ns) for path in files]
