"""The engines by name. Each is one file, which is imported when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from dfjax.launching.engine import Handover
from dfjax.launching.job import JobSpec

ENGINES = {
    "local": "processes on this machine, joined over loopback",
    "slurm": "a batch job of a Slurm cluster: CPUs, or nodes of GPUs",
    "xpk": "slices of TPUs or nodes of GPUs of a GKE cluster, through XPK",
    "tpu_vm": "TPU VMs as a queued resource, through gcloud",
}


class Engine(Protocol):
    """What the file of an engine has.

    Attributes:
      WITHOUT: flags common to all engines that this one has no use for, each with the words that say why.
      FOREGROUND: whether the one command takes this process's place, and ends when the run does.
      Options: a frozen dataclass of the engine's own flags, each made with ``engine.option``.
    """

    WITHOUT: Mapping[str, str]
    FOREGROUND: bool
    Options: type[Any]

    def hand_over(self, job: JobSpec, options: Any) -> Handover:
        """What the engine would be given; starts and writes nothing. Raises JobError for a job it does not take."""
        ...


def load(name: str) -> Engine:
    """The engine of a name in ``ENGINES``."""
    return cast(Engine, importlib.import_module(f"dfjax.launching.{name}"))
