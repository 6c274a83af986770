"""Processes that find each other by what Slurm, a TPU pod or Open MPI put into their environment, on loopback.

The environment is an imitation, the start is real. A TPU's metadata server is imitated too. Kubernetes is only tried
where there is no cluster to ask: its API is not to be had here.
"""

import contextlib
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

from tests import command

PROGRAM = pathlib.Path(__file__).with_name("start_program.py")
ROOT = str(pathlib.Path(__file__).parents[2])
# Of the machine that runs the tests, if it is one of several itself.
FOREIGN = ("SLURM", "TPU_", "MEGASCALE", "OMPI", "KUBERNETES", "JOB_COMPLETION", "JAX_")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    own = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    own |= {"JAX_PLATFORMS": "cpu", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        env=own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ends(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit status, stdout and stderr of each."""
    try:
        said = [process.communicate(timeout=180) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


def _meet(environments: list[dict[str, str]], *machine: str) -> None:
    port = _free_port()
    here = {"JAX_COORDINATOR_PORT": str(port), "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}"}
    ends = _ends([_start(here | environment, "120", *machine) for environment in environments])
    for rank, (status, out, err) in enumerate(ends):
        assert status == 0, err[-3000:]
        # Gloo speaks on stdout too.
        assert out.splitlines()[-1] == f"process {rank} of 2 met [0, 1]"


def _slurm(rank: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0",
    }


def _tpu_pod(rank: int) -> dict[str, str]:
    return {
        "JAX_FORCE_TPU_INIT": "1",
        "TPU_WORKER_HOSTNAMES": "localhost,localhost",
        "TPU_WORKER_ID": str(rank),
        # Where these are not set at all, JAX asks the metadata server.
        "MEGASCALE_NUM_SLICES": "",
        "MEGASCALE_SLICE_ID": "",
        "MEGASCALE_COORDINATOR_ADDRESS": "",
    }


def _tpu_slices(rank: int) -> dict[str, str]:
    return {
        "JAX_FORCE_TPU_INIT": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": str(rank),
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost",
    }


def _open_mpi(rank: int) -> dict[str, str]:
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
    }


@pytest.mark.gate(2)
@pytest.mark.parametrize("launched_by", [_slurm, _tpu_pod, _tpu_slices, _open_mpi], ids=lambda f: f.__name__[1:])
def test_two_processes_meet(launched_by):
    _meet([launched_by(rank) for rank in range(2)])


@contextlib.contextmanager
def _metadata(attributes: dict[str, str]):
    """The address of a server that answers as a TPU machine's."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = attributes.get(self.path.rsplit("/", 1)[-1])
            self.send_response(404 if value is None else 200)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, *_): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_two_processes_meet_by_what_the_metadata_of_tpu_machines_say():
    shared = {"worker-network-endpoints": "127.0.0.1,127.0.0.1", "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-16'\n"}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(_metadata(shared | {"agent-worker-number": str(rank)})) for rank in range(2)]
        _meet([{"JAX_FORCE_TPU_INIT": "1", "GCE_METADATA_IP": server} for server in servers], "like-a-tpu-machine")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (_slurm(1) | {"JAX_COORDINATOR_PORT": str(_free_port())}, "Slurm seems to have started several processes"),
        (
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "JOB_COMPLETION_INDEX": "1"},
            "Kubernetes seems to have started several processes",
        ),
    ],
    ids=["a peer that does not come", "a cluster that cannot be asked"],
)
def test_who_finds_nobody_says_so_and_what_to_do(environment, words):
    ((status, _, err),) = _ends([_start(environment, "2")])
    assert status == 1, err
    assert words in err
    assert len(err.splitlines()) < 12
    assert "--coordinator=HOST:PORT --num_processes=N --process_id=I, or --distributed=off" in err


@pytest.mark.gate(1)
@pytest.mark.parametrize("lost_seconds", [4, 60])
def test_who_waits_in_vain_leaves_words_alone(lost_seconds, tmp_path):
    """Neither stacks nor a folder, whichever is the first to look after ``start_seconds``."""
    room = tmp_path / "run"
    bounds = ("hosts.start_seconds=5", f"hosts.lost_seconds={lost_seconds}")
    flags = (f"--coordinator=127.0.0.1:{_free_port()}", "--num_processes=2", "--process_id=0")
    ((status, words),) = command.ends([command.start(*command.train(room, "", *bounds), *flags)])
    assert status == 1, words
    (line,) = words.splitlines()
    assert line.startswith("dfjax: process 0 of 2 found no run at 127.0.0.1:")
    assert line.endswith("(waited for 5 s; no sign of life from process 1)")
    assert not room.exists()


def test_a_batch_script_in_an_allocation_of_several_tasks_is_alone():
    script = {key: value for key, value in _slurm(0).items() if "STEP" not in key}
    ((status, out, err),) = _ends([_start(script, "5")])
    assert status == 0, err
    assert out == "process 0 of 1 met [0]\n"
