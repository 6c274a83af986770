"""Two real processes: each reads the rows its devices hold, also where both hold the same."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tests.data import tiny

PROGRAM = pathlib.Path(__file__).with_name("rows_program.py")
SECONDS = 180


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Processes 0 and 1 hold devices 0, 1 and 2, 3; the mesh's axes are data (down) and tensor (across).
@pytest.mark.gate(1)
@pytest.mark.parametrize(
    "layout",
    ["0,2;1,3", "0,1;2,3", "0,3;2,1"],
    ids=["tensor axis across the processes", "data axis across the processes", "both, and out of order"],
)
def test_each_process_reads_its_rows_of_the_same_batch(layout, tmp_path):
    tiny.TinyLabelled(data_dir=str(tmp_path)).download_and_prepare()
    address = f"127.0.0.1:{_free_port()}"
    root = str(pathlib.Path(__file__).parents[2])
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_COORDINATOR_BIND_ADDRESS": address,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), address, str(rank), layout, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
        assert "rows agree" in output
