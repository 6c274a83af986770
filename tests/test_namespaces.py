"""Machines made of namespaces: they know each other, can be cut off, and nothing of them is left."""

import contextlib
import pathlib
import signal
import subprocess
import sys

import pytest

from tests import namespaces

pytestmark = pytest.mark.slurm

CONNECT = "import socket; socket.create_connection(('two', 5000), 2).close()"
ANSWER = "import socket; s = socket.create_server(('', 5000)); print('up', flush=True); [s.accept() for _ in 'ab']"


@pytest.fixture(autouse=True)
def _can_be():
    if reason := namespaces.why_not():
        pytest.skip(reason)


def test_machines_reach_each_other_by_name_until_one_is_cut_off():
    with namespaces.machines("one", "two") as (one, two):
        assert two.run("hostname") == "two\n"
        process = two.popen(sys.executable, "-c", ANSWER, stdout=subprocess.PIPE)
        assert process.stdout.readline() == "up\n"
        one.run(sys.executable, "-c", CONNECT)
        two.cut()
        with pytest.raises(RuntimeError, match=r"timed out|No route"):
            one.run(sys.executable, "-c", CONNECT)
        two.mend()
        one.run(sys.executable, "-c", CONNECT)
        assert process.wait(10) == 0


PROGRAM = """
import os, sys
from tests import namespaces
with namespaces.machines("one") as (one,):
    process = one.popen("bash", "-c", "echo $(readlink /proc/self/ns/net); exec setsid sleep 600")
    print(one.pid, flush=True)
    process.wait()
"""


def test_of_one_whose_maker_is_killed_nothing_is_left():
    maker = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    lines = [maker.stdout.readline().strip() for _ in range(2)]
    network = next(line for line in lines if line.startswith("net:"))
    assert network in _networks()
    maker.send_signal(signal.SIGKILL)
    # Its output has an end once all that wrote there have ended: the sleeper too, which had no parent any more.
    maker.communicate(timeout=30)
    assert network not in _networks()


def _networks() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for link in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(str(link.readlink()))
    return found
