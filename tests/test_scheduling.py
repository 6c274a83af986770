"""A process that dies while it runs a test fails that test, and does not keep the others from their end."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_QUICK = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
# The other process has nothing more to do by then, and is told so.
_SLOW = """
import pathlib, time
def test_a(): pass
def test_b():
    end = time.monotonic() + 10
    while time.monotonic() < end and not pathlib.Path("died").exists():
        time.sleep(0.1)
    time.sleep(1)
"""
_DIES = """
import os, pathlib, time
def test_a(): time.sleep(1)
def test_b():
    if not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        os._exit(1)
def test_c(): pass
"""


@pytest.mark.long
def test_what_a_dead_process_left_is_run_by_another_one(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text("from tests.scheduling import pytest_xdist_make_scheduler\n")
    for name, text in {"1": _QUICK, "2": _QUICK, "3": _QUICK, "4": _QUICK, "5": _SLOW, "6": _DIES}.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = [sys.executable, "-m", "pytest", "-n2", "--dist=loadfile", "--no-loadscope-reorder"]
    ended = subprocess.run(
        words, cwd=tmp_path, env=environment | {"PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert "crashed while running 'test_6.py::test_b'" in ended.stdout
    # The test during which it died is run once more.
    assert "1 failed, 17 passed" in ended.stdout.splitlines()[-1]
