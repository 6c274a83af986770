"""The line that tpu_vm has gcloud run on all workers, for real over ssh on two machines: it trains, ends, resumes."""

import json
import os
import pathlib
import sys
import time

import pytest

from dfjax.launching import tpu_vm
from dfjax.launching.job import JobSpec
from dfjax.plan import topology
from tests import command
from tests.launching import sshd

ODD = "a b $HOME \"q\" 'p' \\x \n;é"
WORKERS = ("one", "two")

pytestmark = [pytest.mark.multihost, pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not() or "-")]


def _all(desk: sshd.Desk, line: str, status: int = 0) -> list[str]:
    """Run a line on all workers at once, as `--worker=all` does; what each says on stderr."""
    ends = command.ends([desk.ssh(name, line) for name in WORKERS], seconds=60)
    for found, err in ends:
        assert found == status, err
    return [err for _, err in ends]


def _count_at_work(desk: sshd.Desk) -> int:
    line = 'kill -0 "$(cat a.pid)"'
    return sum(not status for status, _ in command.ends([desk.ssh(name, line) for name in WORKERS], seconds=60))


def _until(there, folder: pathlib.Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        logs = [(folder / name / "a.log").read_text()[-2000:] for name in WORKERS if (folder / name / "a.log").exists()]
        assert time.monotonic() < deadline, "\n".join(logs)
        time.sleep(0.3)


def _has_ended(room: pathlib.Path) -> bool:
    beats = [json.loads((room / "heartbeats" / f"process_{rank}.json").read_text()) for rank in range(2)]
    return all(beat["status"] is not None for beat in beats)


def _job(room: pathlib.Path, data: str) -> JobSpec:
    flags = command.train(room, data, "train.num_steps=100000", "train.log_every_steps=1", f"sample.prompts={(ODD,)!r}")
    variables = {
        "JAX_FORCE_TPU_INIT": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XLA_FLAGS": os.environ["XLA_FLAGS"],
        # What the metadata of a real TPU VM say.
        "TPU_WORKER_HOSTNAMES": ",".join(WORKERS),
        "MEGASCALE_NUM_SLICES": "",
        "MEGASCALE_SLICE_ID": "",
        "MEGASCALE_COORDINATOR_ADDRESS": "",
    }
    return JobSpec(
        name="a",
        config=command.RECIPE,
        workdir=str(room),
        topology=topology.parse("v5e:4x4"),
        overrides=tuple(flags[3:]),
        environment=tuple(variables.items()),
    )


def _lines(job: JobSpec) -> tuple[str, str]:
    """What gcloud would be given as --command to start the run, and to stop it."""
    handover = tpu_vm.hand_over(job, tpu_vm.Options())
    ((*_, last),) = handover.commands
    return last.removeprefix("--command="), tpu_vm.stop(job.name)


def test_a_run_on_two_workers_starts_by_ssh_and_outlives_it_stops_saved_and_resumes(data, tmp_path):
    room = tmp_path / ODD
    start, stop = _lines(_job(room, data))
    with sshd.workers(tmp_path, {name: {"TPU_WORKER_ID": str(i)} for i, name in enumerate(WORKERS)}) as desk:
        for name in WORKERS:
            program = tmp_path / name / "dfjax-env" / "bin" / "dfjax"
            program.parent.mkdir(parents=True)
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dfjax.cli.main "$@"\n')
            program.chmod(0o755)
        _all(desk, start)
        # The connections have ended, and the run is there.
        _until(lambda: command.has_trained(room), tmp_path)
        assert all("a is at work here: stop it first" in err for err in _all(desk, start, status=1))
        _all(desk, stop)
        _until(lambda: _has_ended(room), tmp_path)
        saved = [int(path.name[5:]) for path in (room / "checkpoints").glob("step_*")]
        assert saved
        assert json.loads((room / "config.json").read_text())["sample"]["prompts"] == [ODD]
        assert "process 0 of 2" in (tmp_path / "one" / "a.log").read_text()
        # The same line resumes it, once both have ended.
        _until(lambda: _count_at_work(desk) == 0, tmp_path)
        _all(desk, start)
        _until(lambda: f"has a run, saved at step {max(saved)}" in (tmp_path / "one" / "a.log").read_text(), tmp_path)
