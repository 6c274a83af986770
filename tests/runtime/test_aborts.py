"""An abort waits for the other threads, and comes if none of them ends the process."""

import subprocess
import sys
import time

import pytest

START = """
import faulthandler, os, sys, threading, time
from dfjax.runtime import aborts
faulthandler.enable()
"""
WITHIN = """
with aborts.held_back(float(sys.argv[1])):
    threading.Thread(target=os.abort).start()
    time.sleep(0.5)
    print("still here", flush=True)
    if sys.argv[2] == "leave":
        os._exit(7)
    time.sleep(60)
"""
AFTER = """
with aborts.held_back(60):
    pass
os.abort()
"""


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.parametrize(("seconds", "then", "status"), [(60, "leave", 7), (2, "wait", -6)])
def test_an_abort_is_held_back_for_so_long(seconds, then, status):
    started = time.monotonic()
    done = _run(START + WITHIN, str(seconds), then)
    assert done.returncode == status
    assert done.stdout == "still here\n"
    assert f"Aborting, in {seconds} s" in done.stderr
    # Who handled the signal before still does.
    assert ("Fatal Python error: Aborted" in done.stderr) == (then == "wait")
    assert time.monotonic() - started > (2 if then == "wait" else 0)


def test_an_abort_after_it_comes_at_once():
    done = _run(START + AFTER)
    assert done.returncode == -6
    assert "Aborting" not in done.stderr
