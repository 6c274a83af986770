"""What XPK is given, what it makes of it, and the command in that, run with what GKE sets for it."""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from dfjax.launching import xpk
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec
from dfjax.plan import topology
from tests import command
from tests.launching import real_xpk as real

ODD = "a b $HOME $(JOBSET_NAME) \"q\" 'p' \\x \n;é"
OPTIONS = xpk.Options(cluster="c", image="gcr.io/p/dfjax:1")


def _job(words: str, *overrides: str, **more) -> JobSpec:
    recipe, room = pathlib.Path("/dfjax/configs/emoji.py"), "/mnt/runs/a"
    fields = {"name": "a", "config": recipe, "workdir": room, "topology": topology.parse(words), "overrides": overrides}
    return JobSpec(**fields | more)


def _command(job: JobSpec, options: xpk.Options = OPTIONS) -> tuple[str, ...]:
    (only,) = xpk.hand_over(job, options).commands
    return only


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("v5e:16x16", ("--tpu-type=v5litepod-256", "--num-slices=1")),
        ("v5e:16x16*2", ("--tpu-type=v5litepod-256", "--num-slices=2")),
        ("v6e:16x16", ("--tpu-type=v6e-256", "--num-slices=1")),
        ("v5p:4x8x8*3", ("--tpu-type=v5p-4x8x8", "--num-slices=3")),
        ("v4:2x2x4", ("--tpu-type=v4-2x2x4", "--num-slices=1")),
        ("h100:8*4", ("--device-type=h100-80gb-8", "--num-nodes=4")),
        ("h200:8", ("--device-type=h200-141gb-8", "--num-nodes=1")),
    ],
)
def test_each_topology_has_xpks_own_name(words, flags):
    assert xpk.devices(topology.parse(words)) == flags


@pytest.mark.parametrize(
    ("words", "say"), [("cpu:4", "for TPUs and GPUs"), ("h100:4", "--device_type"), ("v5e:2x2", "v5e:2x4")]
)
def test_what_xpk_has_no_name_for_is_refused(words, say):
    with pytest.raises(JobError, match=say):
        xpk.devices(topology.parse(words))


def test_a_command_without_cluster_or_image_is_refused():
    with pytest.raises(JobError, match="--cluster=NAME"):
        _command(_job("v5e:4x4"), xpk.Options(image="i"))
    with pytest.raises(JobError, match="--image=NAME"):
        _command(_job("v5e:4x4"), xpk.Options(cluster="c"))


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"parallel": 2}, {}, "--parallel=2: XPK is given all 3 workloads at once"),
        ({}, {"recipe": "/dfjax/x.py"}, "--recipe: the runs of a sweep read"),
        ({}, {"manifest": "m.yaml"}, "--manifest is one file"),
    ],
)
def test_what_has_no_meaning_for_a_sweep_is_refused(fields, options, words):
    with pytest.raises(JobError, match=words):
        xpk.hand_over(_job("v5e:4x4", lines=(1, 2, 4), **fields), dataclasses.replace(OPTIONS, **options))


@pytest.mark.parametrize(("path", "found"), [("/r/x.py", "/r/x.py:96"), ("/r/x.py:32", "/r/x.py:32")])
def test_a_recipe_elsewhere_keeps_its_argument(path, found):
    job = _job("v5e:4x4", config=pathlib.Path("/dfjax/x.py:96"))
    assert f"--config={found} " in " ".join(_command(job, dataclasses.replace(OPTIONS, recipe=path)))


def test_all_that_is_asked_for_is_in_the_command():
    options = xpk.Options(
        cluster="c",
        image="i",
        project="p",
        zone="z",
        recipe="/dfjax/x.py",
        priority="high",
        storage=("runs", "data"),
        reservation="r",
        spot=True,
    )
    found = _command(_job("v5e:4x4", "--config.train.seed=1", environment=(("A", "b c"),), restarts=7), options)
    assert found[:3] == ("xpk", "workload", "create")
    assert set(found[3:]) == {
        "--cluster=c",
        "--project=p",
        "--zone=z",
        "--workload=a",
        "--tpu-type=v5litepod-16",
        "--num-slices=1",
        "--docker-image=i",
        "--command=exec env $'A=b c' dfjax train --config=/dfjax/x.py --workdir=/mnt/runs/a --config.train.seed=1",
        "--max-restarts=7",
        "--termination-grace-period-seconds=600",
        "--priority=high",
        "--storage=runs",
        "--storage=data",
        "--reservation=r",
        "--spot",
    }


def test_each_line_of_a_sweep_is_a_workload():
    job = _job("v5e:4x4", lines=(0, 3))
    found = xpk.hand_over(job, OPTIONS).commands
    names = [word for words in found for word in words if word.startswith("--workload")]
    assert names == [f"--workload={job.line_name(0)}", f"--workload={job.line_name(3)}"]
    # The same line has the same name when it is the only one that is left, and no other sweep has it.
    assert names[1] in xpk.hand_over(_job("v5e:4x4", lines=(3,)), OPTIONS).commands[0]
    assert job.line_name(3) != dataclasses.replace(job, workdir="/elsewhere/a").line_name(3)
    assert [word.split()[-1] for words in found for word in words if word.startswith("--command")] == [
        "--line=0",
        "--line=3",
    ]


def _values_of_exits(job: dict) -> list[int]:
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["operator"] == "NotIn"
    return rule["onExitCodes"]["values"]


@pytest.mark.gate(2)
@real.required
@pytest.mark.parametrize(
    ("words", "replicas", "pods"),
    [("v5e:16x16", 1, 64), ("v5e:16x16*2", 2, 64), ("v6e:16x16", 1, 64), ("h100:8*2", 1, 2)],
)
def test_the_manifest_is_a_strict_jobset_of_as_many_hosts_with_restarts_and_time_to_save(
    words, replicas, pods, tmp_path
):
    wanted = topology.parse(words)
    found = real.manifest(_command(_job(words, f"--config.text.unused={ODD}", restarts=5)), tmp_path)
    assert found["faults"] == []
    spec = found["jobset"]["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 5
    (jobs,) = spec["replicatedJobs"]
    job = jobs["template"]["spec"]
    assert (jobs["replicas"], job["completions"], job["parallelism"]) == (replicas, pods, pods)
    assert wanted.hosts == replicas * pods
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] == 600
    restarted = set(_values_of_exits(job))
    assert restarted >= {42, *range(128, 256)}
    assert not restarted & {0, 1, 2}


@real.required
def test_a_field_that_no_schema_knows_is_a_fault(tmp_path):
    real.manifest(_command(_job("v5e:4x4")), tmp_path)
    file = tmp_path / "jobset.yaml"
    file.write_text(file.read_text().replace("backoffLimit: 0", "backofLimit: 0").replace("maxRestarts", "maxRestart"))
    judged = subprocess.run([real.FOLDER / "bin" / "python", real.PROGRAM, file], capture_output=True, text=True)
    faults = json.loads(judged.stdout)["faults"]
    assert any("maxRestart" in fault for fault in faults)
    assert any("backofLimit" in fault for fault in faults)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(container: dict, environment: dict[str, str]) -> subprocess.Popen:
    """The command of a manifest, as a container would run it, with the tests' Python in the place of the image's."""
    bash, dash, script = container["command"]
    assert (bash, dash) == ("bash", "-c")
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = os.environ | {"JAX_PLATFORMS": "cpu", "PATH": path} | environment
    pipe = subprocess.PIPE
    return command.to_be_ended(
        subprocess.Popen([bash, dash, script], env=own, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    )


def _tpu(rank: int, port: int, slices: int) -> dict[str, str]:
    """What GKE sets for one of two workers, of one slice or of two; with flags that let JAX look for it on a CPU."""
    several = slices > 1
    return {
        "JAX_FORCE_TPU_INIT": "1",
        "JAX_COORDINATOR_PORT": str(port),
        "TPU_WORKER_HOSTNAMES": "localhost" if several else "localhost,localhost",
        "TPU_WORKER_ID": "0" if several else str(rank),
        # Set, though empty, the cloud's metadata are not asked for them.
        "MEGASCALE_NUM_SLICES": str(slices) if several else "",
        "MEGASCALE_SLICE_ID": str(rank) if several else "",
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost" if several else "",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "JOB_COMPLETION_INDEX": "0" if several else str(rank),
    }


def _gpu(container: dict, rank: int, port: int) -> dict[str, str]:
    """The variables of a manifest's container, with what Kubernetes puts in for fields and names; an own port."""
    fields = {"job-completion-index": str(rank), "replicatedjob-name": "slice-job", "jobset-name": "a"}
    made: dict[str, str] = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": str(rank)}
    for each in container["env"]:
        if "value" in each:
            made[each["name"]] = each["value"]
        else:
            key = each["valueFrom"]["fieldRef"]["fieldPath"].rpartition("/")[2].rstrip("']")
            made[each["name"]] = fields[key]
    assert made["JAX_COORDINATOR_ADDRESS"] == "$(JOBSET_NAME)-$(REPLICATED_JOB_NAME)-0-0.$(JOBSET_NAME)"
    return made | {"JAX_COORDINATOR_ADDRESS": "127.0.0.1", "JAX_COORDINATOR_PORT": str(port), "LD_LIBRARY_PATH": ""}


def _small(words: str, room: pathlib.Path, data: str, *overrides: str) -> JobSpec:
    flags = command.train(room, data, *overrides)
    return _job(words, *flags[3:], config=command.RECIPE, workdir=str(room))


@pytest.mark.multihost
@real.required
@pytest.mark.parametrize(
    "words",
    [
        pytest.param("v5e:4x4", id="a slice", marks=pytest.mark.long),
        pytest.param("v5e:4x4*2", id="two slices"),
        pytest.param("h100:8*2", id="nodes of GPUs", marks=pytest.mark.long),
    ],
)
def test_the_command_of_the_manifest_trains_on_two_hosts_with_every_word_whole(words, data, tmp_path):
    room = tmp_path / ODD
    overrides = ("train.num_steps=3", "train.log_every_steps=1", f"sample.prompts={(ODD,)!r}")
    job = _small(words, room, data, *overrides)
    found = real.manifest(_command(job), tmp_path)
    assert found["faults"] == []
    container, port = real.container(found["jobset"]), _free_port()
    is_tpu, slices = job.topology.is_tpu, job.topology.slices
    processes = [
        _start(container, _tpu(rank, port, slices) if is_tpu else _gpu(container, rank, port)) for rank in range(2)
    ]
    ends = command.ends(processes)
    for status, err in ends:
        assert status == 0, err[-3000:]
    assert "process 0 of 2" in ends[0][1]
    assert json.loads((room / "config.json").read_text())["sample"]["prompts"] == [ODD]
    assert (room / "checkpoints" / "step_3").is_dir()


@pytest.mark.long
@pytest.mark.multihost
@real.required
def test_a_pod_that_is_told_to_end_saves_and_ends_with_42(data, tmp_path):
    job = _small("v5e:4x4", tmp_path / "run", data, "train.num_steps=100000", "train.log_every_steps=1")
    container, port = real.container(real.manifest(_command(job), tmp_path)["jobset"]), _free_port()
    processes = [_start(container, _tpu(rank, port, slices=1)) for rank in range(2)]
    deadline = time.monotonic() + 240
    while not command.has_trained(tmp_path / "run"):
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.2)
    # Kubernetes signals the first process of a pod; the other pod has its own turn.
    processes[1].send_signal(signal.SIGTERM)
    for status, err in command.ends(processes):
        assert status == 42, err[-3000:]
    assert list((tmp_path / "run" / "checkpoints").glob("step_*"))
