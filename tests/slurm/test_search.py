"""A search whose trials are jobs of a real Slurm: a hopeless one is told to end, saves, and is not started again."""

import json
import sys

import pytest

from dfjax.checkpoint.workdir import Workdir
from tests.slurm import runs

_RECIPE = """
import runpy

get_config = runpy.run_path({recipe!r})["get_config"]


def search(trial):
    trial.suggest_float("unused", 0, 1)
    return {{"optim.learning_rate": (1e-2, 2e-2, 1e-9)[trial.number]}}
"""
_HOPELESS = 3


@pytest.mark.long
def test_a_search_prunes_what_is_hopeless(cluster, emoji_dir, cache, tmp_path):
    pytest.importorskip("optuna")
    folder = tmp_path / "search"
    (tmp_path / "recipe.py").write_text(_RECIPE.format(recipe=str(runs.RECIPE)))
    validated = ("data.validation_split=heldout", "train.validate_every_steps=10", "train.validation_examples=16")
    _, *flags = runs.words(folder, emoji_dir, cache, "model.depth=1", *validated)
    search = ["--search", "--trials=3", "--startup_trials=2", "--parallel=2"]
    slow = runs.slow_python(tmp_path, task=str(_HOPELESS))
    runs.dfjax(cluster, "sweep", f"--config={tmp_path / 'recipe.py'}", *flags, "--backend=slurm", *search, python=slow)
    # Having saved it asks to be started again, and then there is nothing to do.
    cluster.until(lambda: not cluster.run("squeue", "--noheader", "--states=PD,R,CG"), 300)
    words = [sys.executable, "-m", "dfjax.cli.main", "sweep", "status", f"--workdir={folder}", "--json"]
    found = {run["line"]: run for run in json.loads(cluster.run(*words, cwd=runs.ROOT))["runs"]}
    assert [found[line]["state"] for line in (1, 2, _HOPELESS)] == ["finished", "finished", "pruned"]
    room = Workdir(folder / found[_HOPELESS]["name"])
    assert 10 <= found[_HOPELESS]["step"] < runs.STEPS
    assert room.steps()[-1] == found[_HOPELESS]["step"]
    assert runs.beat(room.path, 0)["status"] == 0
    said = "".join(path.read_text() for path in sorted((folder / "launch").glob("*.out")))
    assert f"line {_HOPELESS} ({found[_HOPELESS]['name']}) is pruned: nothing to do" in said
