"""A real Slurm on machines made of namespaces: one with the controller, and nodes that run jobs."""

import contextlib
import os
import pathlib
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

from tests import namespaces

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")

_SLURM_CONF = """
ClusterName=test
SlurmctldHost=control
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# Else a requeued job waits for two minutes, until the credentials of its last start are no more.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=200000,bf_interval=2
ReturnToService=2
SlurmdTimeout=20
KillWait=10
# A test sets a limit in whole minutes, to the next one: a job still gets its notice, which comes some time before.
OverTimeLimit=1
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={nodes} CPUs=1
PartitionName=main Nodes={nodes} Default=YES PriorityTier=1 GraceTime=60 OverSubscribe=NO
PartitionName=high Nodes={nodes} PriorityTier=10 PreemptMode=OFF OverSubscribe=NO
"""


def why_not() -> str:
    """Why there can be no Slurm here; empty if there can."""
    if missing := [program for program in _PROGRAMS if not shutil.which(program)]:
        return f"a real Slurm needs {', '.join(missing)}; on Debian: apt install slurmctld slurmd slurm-client munge"
    return namespaces.why_not()


class Cluster:
    """A running Slurm. ``nodes`` are its machines by name; commands of users run on ``control``."""

    def __init__(self, folder: pathlib.Path, control: namespaces.Machine, *nodes: namespaces.Machine):
        self.folder, self.control = folder, control
        self.nodes = {node.name: node for node in nodes}
        self.variables = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self, stack: contextlib.ExitStack) -> None:
        """Start all of it, and wait until its nodes are there."""
        names = ",".join(self.nodes)
        (self.folder / "slurm.conf").write_text(_SLURM_CONF.format(folder=self.folder, nodes=names))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / "state").mkdir()
        self._start_munge(stack)
        self._start(stack, self.control, "slurmctld", "-D", "-c")
        for node in self.nodes.values():
            self._start(stack, node, "slurmd", "-D", "-N", node.name)
        self.until(lambda: set(self.run("sinfo", "--noheader", "--format=%T").split()) == {"idle"}, 60)

    def _start_munge(self, stack: contextlib.ExitStack) -> None:
        files = {name: self.folder / f"munge.{name}" for name in ("key", "socket", "pid", "log", "seed")}
        files["key"].write_bytes(secrets.token_bytes(128))
        files["key"].chmod(0o400)
        paths = [f"--{'key-file' if n == 'key' else f'{n}-file' if n != 'socket' else n}={p}" for n, p in files.items()]
        self._start(stack, self.control, "munged", "--foreground", "--force", *paths)
        self.until(files["socket"].exists, 30)

    def _start(self, stack: contextlib.ExitStack, machine: namespaces.Machine, *command: str) -> None:
        log = stack.enter_context((self.folder / f"{command[0]}-{machine.name}.out").open("w"))
        # It ends with its machine.
        machine.popen(*command, env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self, *command: str, **options) -> str:
        """A user's command to its end, which must be a good one; gives its output."""
        return self.control.run(*command, **{"env": self.variables} | options)

    def wait(self, job: str, seconds: float) -> str:
        """Wait until a job has ended for good. Gives its state, such as COMPLETED."""
        on_its_way = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "PREEMPTED", "NODE_FAIL"}
        self.until(lambda: self._field(job, "JobState") not in on_its_way, seconds)
        return self._field(job, "JobState")

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        return int(self._field(job, "Restarts"))

    def seconds(self, job: str) -> int:
        """How long a job has been running."""
        hours, minutes, seconds = map(int, self._field(job, "RunTime").split(":"))
        return 3600 * hours + 60 * minutes + seconds

    def _field(self, job: str, name: str) -> str:
        shown = self.run("scontrol", "show", "job", job)
        return shown.partition(f"{name}=")[2].split()[0]

    def until(self, is_so: Callable[[], object], seconds: float) -> None:
        """Wait for something. Raises AssertionError, with the state of all, if it does not come in time."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                words = [self.control.run(*command, env=self.variables) for command in (["squeue"], ["sinfo"])]
                raise AssertionError("\n".join([f"not within {seconds} s:", *words]))
            time.sleep(0.25)


@contextlib.contextmanager
def running(folder: pathlib.Path, nodes: int) -> Iterator[Cluster]:
    """A Slurm of so many nodes, with its files in ``folder``."""
    folder.mkdir(mode=0o755, parents=True)
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(namespaces.machines("control", *(f"node{i + 1}" for i in range(nodes))))
        cluster = Cluster(folder, *made)
        cluster.start(stack)
        yield cluster
