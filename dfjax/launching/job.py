"""What is to run, on what, and for how long: one description for every engine."""

import dataclasses
import hashlib
import re
from pathlib import Path

from jax.sharding import AbstractMesh

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan.topology import Topology

# What every engine takes as a name.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclasses.dataclass(frozen=True)
class JobSpec:
    """A training run, or the runs of a sweep as one array of jobs.

    Attributes:
      name: lower-case letters, digits and hyphens, from a letter on: what the engine calls the job.
      config: the recipe, as an absolute path that every host can read.
      overrides: further words of ``dfjax train``, each whole, such as "--config.optim.learning_rate=0.001".
      workdir: the work directory (of a sweep: the folder of all of its runs), which all hosts share; absolute or gs://.
      topology: devices, in the words of ``dfjax plan``: "v5e:16x16*2", "h100:8*4"; "cpu:N" is N devices a host.
      hosts: machines. Of TPUs and GPUs the topology says it (a node of GPUs is a host).
      environment: variables that the processes get, besides what the engine gives them.
      restarts: how often the engine may start the job again, preempted or killed (status 42, 128 and above).
      time_limit_seconds: after which the engine ends it; 0: none, or the engine's own.
      lines: of a sweep, the lines of its ``sweep.jsonl`` that are still to run; empty for a single run.
      parallel: of a sweep, how many run at once; 0: as the engine likes.
    """

    name: str
    config: Path
    workdir: str
    topology: Topology
    overrides: tuple[str, ...] = ()
    hosts: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    restarts: int = 3
    time_limit_seconds: int = 0
    lines: tuple[int, ...] = ()
    parallel: int = 0

    def line_name(self, number: int) -> str:
        """A name for the job of one line: no other sweep's, though its folder be named alike."""
        own = hashlib.sha256(self.workdir.encode()).hexdigest()[:6]
        return f"{self.name[:20].rstrip('-')}-{own}-{number}"

    def with_recipe(self, path: str) -> "JobSpec":
        """The job where the recipe has another path on the hosts; its argument (``recipe.py:ARGUMENT``) stays."""
        _, colon, argument = str(self.config).partition(":")
        return dataclasses.replace(self, config=Path(path if ":" in path else f"{path}{colon}{argument}"))

    @property
    def variables(self) -> tuple[str, ...]:
        """Words before a command by which it has the job's variables: ``env NAME=VALUE ...``; none without any."""
        return ("env", *(f"{name}={value}" for name, value in self.environment)) if self.environment else ()

    @property
    def command(self) -> tuple[str, ...]:
        """The words after ``dfjax`` on each host; a task of a sweep adds ``--line=N``, and becomes ``dfjax train``."""
        if self.lines:
            return ("sweep", "run", f"--workdir={self.workdir}", *self.overrides)
        return ("train", f"--config={self.config}", f"--workdir={self.workdir}", *self.overrides)


def check_mesh(config: config_lib.Config, topology: Topology, hosts: int = 1) -> None:
    """Raise ConfigError, with flags that do, unless the config's mesh fits the devices of a job."""
    from dfjax.inputs import network

    devices = topology.chips * hosts if topology.kind == "cpu" else topology.chips
    # Nodes of GPUs have one network: only slices of TPUs are apart.
    slices = topology.slices if topology.is_tpu else 1
    shape = mesh_lib.shape_over(config.mesh, devices, slices)
    mesh = AbstractMesh(shape, mesh_lib.AXES)
    mesh_lib.check_divides(mesh, network.work_of(config), config.train.batch_size, config.train.accumulation)
