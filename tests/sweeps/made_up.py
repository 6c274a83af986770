"""Sweeps and their runs, written by hand."""

import json
import os
import pathlib
import socket

from dfjax import config as config_lib
from dfjax.runtime import heartbeats
from dfjax.sweeps import frozen, lines
from dfjax.sweeps.frozen import Header, Sweep
from tests import recipe
from tests.report import made_up

STEPS = 20


def base() -> config_lib.Config:
    return config_lib.resolve(recipe.get_config().to_dict())


def write_recipe(folder: pathlib.Path, body: str) -> pathlib.Path:
    """A recipe on top of the tests' own, with ``body`` after its ``get_config``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.py"
    path.write_text(f"import runpy\nget_config = runpy.run_path({str(recipe.__file__)!r})['get_config']\n{body}\n")
    return path


def read(folder: pathlib.Path, *overrides: dict) -> list[lines.Line]:
    """The lines of a recipe whose sweep() yields these overrides."""
    return lines.read(write_recipe(folder, f"def sweep():\n    return {overrides!r}"), base())


def sweep(folder: pathlib.Path, *overrides: dict) -> Sweep:
    """A frozen sweep of these overrides; none of its runs has begun."""
    found = read(folder / "of", *overrides)
    return frozen.freeze(folder / "sweep", Header("recipe.py", (), base()), found)


def trained(folder: pathlib.Path, losses: dict[int, float], saved: int = 0) -> None:
    """A run with validation losses by step, whose newest checkpoint is of the step ``saved``."""
    made_up.run(folder, train={"num_steps": STEPS})
    rows = [{"step": step, "time": 0.0, "validation/loss": loss} for step, loss in losses.items()]
    made_up.write_lines(folder / "metrics.jsonl", rows)
    if saved:
        made_up.checkpoint(folder, saved)


def beat(folder: pathlib.Path, status: int | None = None, words: str = "") -> None:
    """Signs of life of this process, or what it ended with."""
    (folder / "heartbeats").mkdir(parents=True, exist_ok=True)
    heartbeats.Heart(folder / "heartbeats", 0).beat(status, words)


def beat_elsewhere(folder: pathlib.Path) -> None:
    """The last sign of life, long ago, of a process on another machine."""
    beat(folder)
    file = heartbeats.path(folder / "heartbeats", 0)
    said = json.loads(file.read_text()) | {"kernel": "another", "host": f"not-{socket.gethostname()}"}
    file.write_text(json.dumps(said))
    os.utime(file, (1000, 1000))
