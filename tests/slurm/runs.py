"""Runs of the demo recipe, cut short, as jobs of a real Slurm."""

import json
import pathlib
import shlex
import sys

from tests.slurm.cluster import Cluster

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "configs" / "emoji.py"
STEPS = 60
# From where on a run that is to be disturbed takes its time.
SLOW_FROM, SLOW_SECONDS = 25, 1.5
_OVERRIDES = (
    "model.width=32",
    f"train.num_steps={STEPS}",
    "optim.warmup_steps=10",
    "train.checkpoint_every_steps=20",
    "train.log_every_steps=5",
    "train.sample_every_steps=0",
    "train.batch_size=8",
    # What takes long to compile or to start, and is not what is tested here.
    "model.depth=2",
    "model.unroll=1",
    "train.tensorboard=False",
    "data.split=train[:20%]",
    "data.validation_split=",
    "data.workers=0",
    "sample.steps=2",
    # Who is cut off is to be given up within the test's time, but not before the run is started again.
    "hosts.lost_seconds=25",
    # For the comparison, which takes all that a run can leave.
    "optim.ema_stds=(0.1,)",
)
# A run that is told of a signal is to end by it, and by no bound of Slurm.
_NOTICE_SECONDS = 20


def words(workdir: pathlib.Path, data: str, cache: pathlib.Path, *overrides: str) -> list[str]:
    """The flags of a run."""
    flags = [f"--config={RECIPE}", f"--workdir={workdir}", f"--compilation_cache={cache}"]
    return [*flags, *(f"--config.{each}" for each in (*_OVERRIDES, f"data.dir={data}", *overrides))]


def launch(cluster: Cluster, *arguments: str, python: pathlib.Path | None = None) -> str:
    """``dfjax launch slurm`` on the machine with the controller. Gives the number of the job."""
    return dfjax(cluster, "launch", "slurm", *arguments, python=python).split()[0]


def dfjax(cluster: Cluster, *arguments: str, python: pathlib.Path | None = None) -> str:
    """A command of dfjax that hands jobs to Slurm, on the machine with the controller. Gives its output."""
    flags = [*arguments, f"--notice_seconds={_NOTICE_SECONDS}", *([f"--python={python}"] if python else [])]
    return cluster.run(sys.executable, "-m", "dfjax.cli.main", *flags, cwd=ROOT)


def slow_python(folder: pathlib.Path, task: str = "") -> pathlib.Path:
    """A Python for jobs, by which a run that starts for the first time is slow; of an array's tasks, only ``task``."""
    path = folder / "slow-python"
    program = [sys.executable, str(pathlib.Path(__file__).with_name("program.py"))]
    path.write_text(
        f'#!/bin/bash\n[[ "${{SLURM_ARRAY_TASK_ID:-}}" = "{task}" ]] || exec {shlex.quote(sys.executable)} "$@"\n'
        f'exec {shlex.join(program)} {SLOW_FROM} {SLOW_SECONDS} "$@"\n'
    )
    path.chmod(0o755)
    return path


def beat(workdir: pathlib.Path, rank: int) -> dict:
    """The last sign of life of a process; empty before the first."""
    try:
        return json.loads((workdir / "heartbeats" / f"process_{rank}.json").read_text())
    except (OSError, ValueError):
        return {}


def losses(workdir: pathlib.Path) -> dict[int, float]:
    """By step."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def log(workdir: pathlib.Path) -> str:
    """What the run's jobs wrote."""
    return "".join(path.read_text() for path in sorted((workdir / "launch").glob("*.out")))
