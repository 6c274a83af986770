"""The scaling benchmark at toy size: it runs, splits and counts what it says."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "tests" / "recipe.py"

pytestmark = pytest.mark.slow


def _scaling(*arguments: str) -> subprocess.CompletedProcess:
    small = [f"--config={RECIPE}", "--config.text.depth=0", "--rounds=1", "--compiles=1"]
    command = [sys.executable, "benchmarks/scaling.py", *small, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.long
def test_layers_and_devices_are_run_and_compiled():
    done = _scaling("--parts=depth,devices", "--depths=2,4", "--devices=1,2", "--topology=", "--batch=2", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    shallow, deep = found["depth"]
    assert (shallow["depth"], deep["depth"]) == (2, 4)
    assert shallow["step_ratio"] == shallow["cpu_compile_ratio"] == 1
    assert min(deep["step_seconds"], deep["cpu_compile_seconds"], deep["cpu_compile_ratio"]) > 0
    assert deep["cpu_peak_bytes"] > shallow["cpu_peak_bytes"]
    alone, two = found["devices"]
    assert alone["step_ratio"] == 1
    assert 0.5 <= two["state_bytes"] / alone["state_bytes"] < 0.6


def test_the_state_is_a_table_of_slices():
    pytest.importorskip("libtpu", reason="libtpu is missing, which knows the slices: pip install libtpu")
    done = _scaling("--parts=state")
    assert done.returncode == 0, done.stderr[-3000:]
    title, header, *rows = done.stdout.strip().splitlines()
    assert title == "state:"
    shares = [float(row.split()[header.split().index("ideal_ratio") - len(header.split())]) for row in rows]
    assert shares[0] == 1
    assert all(1 <= share < 1.05 for share in shares)
