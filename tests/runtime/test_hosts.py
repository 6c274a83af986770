"""The start-up of several hosts: what can be told before anyone is waited for."""

import pytest

from dfjax import config
from dfjax.runtime import hosts


def test_a_single_process_starts_nothing(monkeypatch):
    # The machine that runs the tests may be one of several, such as a task of Slurm.
    monkeypatch.setattr(hosts.os, "environ", {})
    hosts.start()
    assert hosts.from_first(b"\0bytes") == b"\0bytes"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("", 2, -1), "need --coordinator=HOST:PORT"),
        (("", 0, 1), "need --coordinator=HOST:PORT"),
        (("", 0, 0), "need --coordinator=HOST:PORT"),
        (("", 2, 1), "need --coordinator=HOST:PORT"),
        (("localhost:1", 0, -1), "--num_processes of at least 1"),
        (("localhost:1", 2, -1), "--process_id from 0 below it"),
        (("localhost:1", 2, 2), "not 2 and 2"),
        (("127.0.0.1", 2, 0), "127.0.0.1 has no port: give HOST:PORT, such as 127.0.0.1:1234"),
        (("127.0.0.1:", 2, 0), "has no port"),
        (("[::1]", 2, 0), r"such as \[::1\]:1234"),
        (("127.0.0.1:99999", 2, 0), "port must be from 1 to 65535"),
        (("127.0.0.1:0", 2, 0), "port must be from 1 to 65535"),
        (("127.0.0.1:http", 2, 0), "is no HOST:PORT"),
        (("::1:1234", 2, 0), r"is no HOST:PORT, .* \[fd00::1\]:1234"),
        ((":1234", 2, 0), "is no HOST:PORT"),
    ],
)
def test_flags_that_make_no_run_are_refused_as_wrong_use(flags, words, tmp_path):
    with pytest.raises(hosts.FlagsError, match=words) as caught:
        hosts.check_flags(*flags)
    assert caught.value.status == 2
    with pytest.raises(hosts.FlagsError), hosts.joined(tmp_path / "run", config.Hosts(), *flags):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags",
    [
        ("", 0, -1),
        ("", 1, -1),
        ("", 1, 0),
        ("node-1.cluster:1234", 2, 1),
        ("10.0.0.1:65535", 1, 0),
        ("[::1]:1234", 2, 0),
        ("[fe80::1%eth0]:1", 2, 0),
    ],
)
def test_flags_that_make_a_run_are_admitted(flags):
    hosts.check_flags(*flags)


# What srun gives each task; sbatch gives its script all but the step's.
JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
STEP = JOB | {"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_NUM_TASKS": "8"}
CHIPS = {"TPU_ML_PLATFORM": "JAX"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (STEP, hosts.SLURM),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"} | CHIPS, hosts.TPU),
        ({"TPU_PROCESS_ADDRESSES": "a:8471,b:8471", "TPU_WORKER_HOSTNAMES": "a"}, hosts.TPU),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"}, hosts.TPU),
        # A TPU machine whose metadata are yet to be asked.
        (CHIPS, hosts.TPU),
        (POD | {"JOB_COMPLETION_INDEX": "0"}, hosts.KUBERNETES),
        (POD | {"JOB_COMPLETION_INDEX": "0", "TPU_WORKER_HOSTNAMES": "a,b"}, hosts.TPU),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, hosts.OPEN_MPI),
    ],
)
def test_several_processes_are_found_by_what_started_them(environment, name):
    assert hosts.launcher(environment) == name


@pytest.mark.parametrize(
    "environment",
    [
        {},
        JOB,
        # A notebook, or the shell of salloc, is a step of one task.
        STEP | {"SLURM_STEP_NUM_TASKS": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"} | CHIPS,
        {"TPU_WORKER_HOSTNAMES": "localhost", "MEGASCALE_NUM_SLICES": "1"},
        {"TPU_WORKER_HOSTNAMES": "WARNING: could not determine TPU worker hostnames, please set it"},
        CHIPS | {"TPU_SKIP_MDS_QUERY": "1"},
        POD,
        POD | {"JOB_COMPLETION_INDEX": "0", "TPU_WORKER_HOSTNAMES": "a"},
        {"OMPI_COMM_WORLD_SIZE": "1"},
    ],
)
def test_a_single_process_waits_for_nobody(environment):
    assert hosts.launcher(environment) == ""


@pytest.mark.parametrize(
    ("tasks", "gpus", "devices"),
    [("1(x2)", "8", list(range(8))), ("1", "4", [0, 1, 2, 3]), ("8(x2)", "8", None), ("1(x2)", "", None)],
)
def test_the_only_task_of_a_node_has_all_its_gpus(tasks, gpus, devices):
    environment = STEP | {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_GPUS_ON_NODE": gpus}
    assert hosts._devices_of_slurm_task(environment) == devices
