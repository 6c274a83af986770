"""Seconds that `dfjax sweep status` takes to read a sweep of many runs, its start included.

    python benchmarks/bench_sweep_status.py --runs=1000 --lines=100

Each run is written by hand as training writes it: a line of metrics every so many steps, one in ten with validation
losses, two checkpoints and signs of life. Files come from the page cache, as they do where a run has just written them.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from dfjax import config as config_lib
from dfjax.checkpoint.store import ITEMS
from dfjax.sweeps import frozen
from dfjax.sweeps.frozen import Header
from dfjax.sweeps.lines import Line

STEPS = 10_000
LEVELS = [(k + 0.5) / 8 for k in range(8)]
TRAINING = (
    "loss", "grad_norm", "learning_rate", "images_per_second", "step_seconds", "images_seen", "mfu", "memory_gib",
    "slow_steps", "skipped_steps", "rollbacks",
)  # fmt: skip


def write_run(folder: pathlib.Path, number: int, lines: int) -> None:
    """One run, as far as ``status`` looks at it: a third each is finished, cut and failed."""
    every = STEPS // lines
    rows = []
    for step in range(every, STEPS + 1, every):
        row = {"step": step, "time": 1e9 + step} | {f"train/{name}": 1.2345 / step for name in TRAINING}
        rows.append(json.dumps(row))
        if step // every % 10 == 0:
            losses = {"validation/loss": 1.0 / step + number} | {f"validation/loss_t={t:.2f}": 1.0 for t in LEVELS}
            rows.append(json.dumps({"step": step, "time": 1e9 + step} | losses))
    last = STEPS if number % 3 == 0 else STEPS - every
    for step in (last - every, last):
        for item in ITEMS:
            (folder / "checkpoints" / f"step_{step}" / item).mkdir(parents=True)
        (folder / "checkpoints" / f"step_{step}" / "_CHECKPOINT_METADATA").touch()
    (folder / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "config.json").write_text(config_lib.Config().to_json())
    (folder / "heartbeats").mkdir()
    status = {0: 0, 1: 42, 2: 1}[number % 3]
    beat = {"rank": 0, "start": "a", "count": 9, "phase": "stepping", "step": last, "changes": 9, "host": "x", "pid": 1}
    beat |= {"kernel": "", "born": "", "status": status, "words": "the disk is full" if status == 1 else ""}
    (folder / "heartbeats" / "process_0.json").write_text(json.dumps(beat).ljust(1023) + "\n")


def main() -> None:
    """Write the runs, read them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=100, help="of metrics, for each run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "sweep"
        folder.mkdir()
        lines = [Line(n, f"seed={n}", {"train.seed": n}, STEPS) for n in range(1, given.runs + 1)]
        frozen.write(frozen.Sweep(folder, Header("recipe.py", (), config_lib.Config()), lines))
        for line in lines:
            write_run(folder / line.name, line.number, given.lines)
        megabytes = sum(path.stat().st_size for path in folder.glob("*/metrics.jsonl")) / 1e6
        command = [sys.executable, "-m", "dfjax.cli.main", "sweep", "status", f"--workdir={folder}"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        (told,) = [row for row in done.stdout.splitlines() if row.startswith(f"{given.runs:,} runs: ")]
        print(f"{told}; {megabytes:.0f} MB of metrics: {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU")


if __name__ == "__main__":
    main()
