"""A batch job of Slurm: one readable file in the work directory, and one ``sbatch``.

Slurm queues, starts and requeues. It does so by itself where a node fails or a job of higher priority takes its place;
where a run ends with 42, or with 128 and above, the batch file asks for it, so often and no more.
"""

import dataclasses
import itertools
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dfjax.checkpoint.workdir import Workdir
from dfjax.core.errors import PREEMPTED
from dfjax.launching.engine import Handover, option
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec

FOREGROUND = False
WITHOUT: dict[str, str] = {}

# From the end of one process to that of the others, who are killed then. By hosts.lost_seconds they know what happened.
_WAIT_SECONDS = 90
# What a line of #SBATCH takes as it is.
_PLAIN = re.compile(r"[^\s'\"\\#]+")


@dataclasses.dataclass(frozen=True)
class Options:
    """What Slurm is told besides the job."""

    partition: str = option("", "where to queue; several with commas between. Empty: the cluster's default")
    account: str = option("", "who pays; empty: the user's default")
    constraint: str = option("", "features that the nodes must have, such as 'a100&nvlink'")
    qos: str = option("", "quality of service; empty: the user's default")
    gpus_per_node: str = option("", "such as h100:8, with the type's name here; empty: the topology's number, any type")
    process_per: str = option(
        "node", "of GPUs, whether each gets a process or all of a node share one", ("node", "gpu")
    )
    cpus_per_task: int = option(
        0, "CPU cores of a process, workers that load data included; 0: as Slurm likes, often 1"
    )
    mem: str = option("", "memory of a node, such as 64G; 0: all of it. Empty: the cluster's default")
    notice_seconds: int = option(180, "before the time limit, to save: more than hosts.preemption_seconds")
    python: str = option("", "Python of an environment with dfjax on the nodes; empty: the one that runs this")
    setup: tuple[str, ...] = option((), "a line of shell to run before, such as 'module load cuda'; several times")
    sbatch_args: tuple[str, ...] = option((), "a further word for sbatch, as it is, such as --exclusive; several times")


def hand_over(job: JobSpec, options: Options) -> Handover:
    """The batch file, and the command that submits it. Raises JobError for what Slurm cannot be asked."""
    _check(job, options)
    folder = Workdir(Path(job.workdir)).launch
    path = folder / f"{job.name}.sbatch"
    # A word of the command, since a line of #SBATCH would end at a space.
    log = f"--output={folder}/{job.name}-{'%A_%a' if job.lines else '%j'}.out"
    command = ("sbatch", "--parsable", log, *options.sbatch_args, str(path))
    return Handover(
        files=((path, text(job, options)),),
        commands=(command,),
        watch=f"squeue --name={job.name}; tail -F {shlex.quote(str(folder))}/{job.name}-*.out",
        # A bare `scancel` tells srun too, which then kills the processes.
        stop="scontrol update jobid=ID requeue=0; scancel --signal=TERM ID (the number that sbatch printed): it saves",
        resume="the same command again",
        is_trial="--test-only" in options.sbatch_args,
        is_waited_for=bool({"--wait", "-W"} & {*options.sbatch_args}),
    )


def text(job: JobSpec, options: Options) -> str:
    """The batch file of a job."""
    directives = "\n".join(f"#SBATCH {word}" for word in _directives(job, options))
    return _FILE.format(
        directives=directives,
        environment="\n".join(_environment(job)),
        setup="".join(f"{line}\n" for line in options.setup),
        folder=shlex.quote(os.getcwd()),
        command="\n".join(f"  {word}" for word in _command(job, options)),
        patience=""
        if job.lines
        else _PATIENCE.format(heartbeats=shlex.quote(str(Workdir(Path(job.workdir)).heartbeats))),
        srun=shlex.join(_srun(job, options)),
        id="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if job.lines else "$SLURM_JOB_ID",
        count=shlex.quote(str(Workdir(Path(job.workdir)).launch)),
        restarts=job.restarts,
        preempted=PREEMPTED,
    )


def _check(job: JobSpec, options: Options) -> None:
    """Raise JobError, with what to do, for what Slurm would refuse or take for something else."""
    if job.topology.is_tpu:
        raise JobError(f"Slurm has nodes of CPUs and GPUs, not {job.topology}: TPUs are for xpk and tpu_vm")
    if "://" in job.workdir:
        raise JobError(f"--workdir={job.workdir}: Slurm needs a folder that all nodes share, for its file and its logs")
    if re.search(r"[%\\]", job.workdir):
        raise JobError(f"--workdir={job.workdir}: Slurm reads % and backslashes in the path of a log in its own way")
    for name in ("partition", "account", "constraint", "qos", "gpus_per_node", "mem"):
        value = getattr(options, name)
        if value and not _PLAIN.fullmatch(value):
            raise JobError(f"--{name}={value!r} has spaces, quotes, backslashes or #, which no name in Slurm has")
    if options.gpus_per_node and job.topology.kind == "cpu":
        raise JobError(f"--gpus_per_node={options.gpus_per_node}, but --topology={job.topology}: give that of the GPUs")
    if options.notice_seconds < 1 or options.cpus_per_task < 0:
        raise JobError("--notice_seconds is at least 1, and --cpus_per_task at least 0")
    if job.time_limit_seconds and job.time_limit_seconds <= options.notice_seconds:
        raise JobError(
            f"--time_limit of {job.time_limit_seconds} s is over before --notice_seconds={options.notice_seconds}: "
            "give more of the one, or less of the other"
        )


def _directives(job: JobSpec, options: Options) -> list[str]:
    """What follows #SBATCH."""
    given = {
        "partition": options.partition,
        "account": options.account,
        "constraint": options.constraint,
        "qos": options.qos,
        "gpus-per-node": _gpus(job, options),
        "cpus-per-task": options.cpus_per_task or "",
        "mem": options.mem,
        "time": _duration(job.time_limit_seconds) if job.time_limit_seconds else "",
        "array": _array(job),
    }
    return [
        f"--job-name={job.name}",
        f"--nodes={job.hosts}",
        f"--ntasks-per-node={_processes(job, options)}",
        *(f"--{name}={value}" for name, value in given.items() if value),
        "--open-mode=append",
        "--requeue",
        f"--signal=B:TERM@{options.notice_seconds}",
    ]


def _processes(job: JobSpec, options: Options) -> int:
    """Of one node."""
    return job.topology.shape[0] if job.topology.kind != "cpu" and options.process_per == "gpu" else 1


def _gpus(job: JobSpec, options: Options) -> str:
    return "" if job.topology.kind == "cpu" else options.gpus_per_node or str(job.topology.shape[0])


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24}-{hours % 24:02}:{minutes:02}:{rest:02}"


def _array(job: JobSpec) -> str:
    """Lines as an array of tasks, such as "1-3,5%2"; empty for a single run."""
    parts = []
    # Neighbours differ from their place by the same.
    for _, group in itertools.groupby(enumerate(sorted(job.lines)), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ",".join(parts) + (f"%{job.parallel}" if job.lines and job.parallel else "")


def _environment(job: JobSpec) -> list[str]:
    """Lines that set variables: first the user's."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in job.environment]
    if job.topology.kind == "cpu":
        flag = f"--xla_force_host_platform_device_count={job.topology.chips}"
        return [*lines, "export JAX_PLATFORMS=cpu", f'export XLA_FLAGS="${{XLA_FLAGS:-}} {flag}"']
    if not any(name == "JAX_PLATFORMS" for name, _ in job.environment):
        # Without a GPU, or without its drivers, an error: JAX would train on the CPU.
        lines.append("export JAX_PLATFORMS=cuda,cpu")
    return lines


def _command(job: JobSpec, options: Options) -> list[str]:
    """The words of a process, as bash reads them."""
    words: Sequence[str] = (options.python or sys.executable, "-m", "dfjax.cli.main", *job.command)
    return [*map(shlex.quote, words), *(['--line="$SLURM_ARRAY_TASK_ID"'] if job.lines else [])]


def _srun(job: JobSpec, options: Options) -> list[str]:
    # Not killed when one fails: then their statuses would hide its own. They hear of it, and leave with the same.
    words = ["srun", "--kill-on-bad-exit=0", f"--wait={_WAIT_SECONDS}"]
    if options.cpus_per_task:
        # Since Slurm 22.05 a step does not have what the job asked for.
        words.append(f"--cpus-per-task={options.cpus_per_task}")
    if job.hosts * _processes(job, options) > 1:
        words.append("--label")
    return words


_PATIENCE = """\
# Of a node that was lost, processes may be at work until they notice that they are cut off: the run would be refused.
is_used() {{ find {heartbeats} -name 'process_*.json' -newermt '-8 seconds' 2>/dev/null | grep -q .; }}
for ((i = 0; ${{SLURM_RESTART_COUNT:-0}} > 0 && i < 180; i++)); do is_used || break; sleep 1; done
"""

_FILE = """\
#!/bin/bash
# Written by `dfjax launch slurm`, which writes it anew each time.
{directives}

# Relative paths are of here.
cd -- {folder} || exit 2
{environment}
{setup}
command=(
{command}
)

job={id}
state() {{ squeue --noheader --job="$job" --Format=State:20,PreemptTime:30; }}

# Notice that time is nearly over comes to this script only. All processes then save, and end with status {preempted}.
# Not by a signal to srun, which would kill them; and not where Slurm itself ends the job, and has told them.
notice() {{ noticed=yes; [[ $(state) != RUNNING* ]] || scancel --signal=TERM "$job"; }}
noticed=
trap notice TERM
{patience}{srun} "${{command[@]}}" &
step=$!
wait "$step"
status=$?
# A notice ends the wait, and the step goes on.
while [[ $noticed ]]; do
  noticed=
  wait "$step"
  status=$?
done
[[ $status -eq {preempted} || $status -ge 128 ]] || exit "$status"

# Preempted or killed. Where Slurm itself ends the job, it also knows whether to start it again.
read -r state evicted < <(state)
[[ $state == RUNNING ]] || exit "$status"
# An eviction is no fault of the job, and does not count.
count={count}/restarts-$job
if [[ $evicted == N/A ]]; then
  restarts=$(cat "$count" 2>/dev/null || echo 0)
  if [[ $restarts -ge {restarts} ]]; then
    echo "status $status: not started again, as it was {restarts} times (--restarts)" >&2
    exit "$status"
  fi
  echo $((restarts + 1)) >"$count"
fi
echo "status $status: to be started again" >&2
scontrol requeue "$job"
exit "$status"
"""
