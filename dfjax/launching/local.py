"""Processes of this machine, joined over loopback: one command in the foreground, which ends when they do."""

import dataclasses
import shlex
import sys

from dfjax.launching.engine import Handover
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec

FOREGROUND = True
WITHOUT = {
    "restarts": "start it again yourself, with the same command, where it ended with 42, 128 or above",
    "time_limit": "Ctrl-C or SIGTERM ends it, saved",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """None of its own."""


def hand_over(job: JobSpec, options: Options) -> Handover:
    """One command, for as many processes as the job has hosts. Raises JobError for GPUs and TPUs."""
    del options
    if job.topology.kind != "cpu":
        raise JobError(
            f"local starts processes of CPUs, not of {job.topology}: one process drives all GPUs or TPUs of a machine, "
            "and `dfjax train` is that process"
        )
    command = (
        *job.variables,
        *(sys.executable, "-m", "dfjax.launching.processes"),
        *(f"--count={job.hosts}", f"--devices={job.topology.chips}", "--"),
        *job.command,
    )
    return Handover(
        files=(),
        commands=(command,),
        watch=f"tail -f {shlex.quote(job.workdir + '/metrics.jsonl')}",
        stop="Ctrl-C, or SIGTERM to this process: it saves and ends with status 42; once more: it ends at once",
        resume="the same command again",
    )
