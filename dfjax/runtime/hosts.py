"""The hosts of a run: how they find each other and part, and small values that all must agree on."""

import contextlib
import faulthandler
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dfjax import config as config_lib
from dfjax.core import signals, streams
from dfjax.core.errors import FAILED, WRONG_USE, DfjaxError, Preempted
from dfjax.runtime import heartbeats
from dfjax.runtime.preemption import Preemption
from dfjax.runtime.watch import Watch

_log = logging.getLogger(__name__)

# --num_processes and --process_id without a coordinator: neither; or what a script for any number gives the only one.
_ALONE = ((0, -1), (1, -1), (1, 0))
# Colons of a host, as in IPv6, are in brackets.
_ADDRESS = re.compile(r"(?P<host>\[[^][\s]+]|[^][:\s]+)(:(?P<port>[0-9]*))?")


class HostError(DfjaxError):
    """The hosts of a run did not find each other."""


class FlagsError(HostError):
    """Flags by which no hosts can find each other."""

    status = WRONG_USE


@contextlib.contextmanager
def joined(
    folder: Path,
    limits: config_lib.Hosts,
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = -1,
    *,
    find: bool = True,
) -> Iterator[Preemption]:
    """The processes of one run, joined by :func:`start`; watched, and open to a request to end, until they part.

    Signs of life are in ``folder``, which all of them share. An error that leaves this block in one of several
    processes ends it here, with its words and status, since the others would be waited for in vain.

    Raises:
      FlagsError, before anything is written: see :func:`check_flags`. HostError: see :func:`start`.
      LiveError: another run is at work in the same folder.
    """
    check_flags(coordinator, num_processes, process_id)
    faulthandler.enable()
    request = Preemption(limits.preemption_seconds)
    request.listen()
    flags: dict[str, Any] = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    place = _place(**flags, find=find)
    if place is None:
        start(**flags, find=find, limits=limits)
    with Watch(folder, limits, *(place or (jax.process_index(), jax.process_count()))) as watch:
        request.leave = watch.leave
        signals.pass_on()
        if place is not None:
            start(**flags, find=find, limits=limits, watch=watch)
        try:
            yield request
        except Preempted:
            _part(request, limits)
            raise
        _part(request, limits)


def _part(request: Preemption, limits: config_lib.Hosts) -> None:
    """Wait until all processes are about to end: the first one must not go before, as JAX's service runs in it."""
    heartbeats.note("waiting for the others to end", slow=True)
    request.close(limits.phase_seconds)
    jax.distributed.shutdown()


def check_flags(coordinator: str, num_processes: int, process_id: int) -> None:
    """Raises FlagsError, with what is missing or wrong, unless :func:`start` can use these."""
    if not coordinator:
        if (num_processes, process_id) not in _ALONE:
            raise FlagsError("--num_processes and --process_id need --coordinator=HOST:PORT, the address of process 0")
        return
    address = _ADDRESS.fullmatch(coordinator)
    if not address:
        raise FlagsError(f"--coordinator={coordinator} is no HOST:PORT, such as 10.0.0.1:1234 or [fd00::1]:1234")
    if not address["port"]:
        raise FlagsError(f"--coordinator={coordinator} has no port: give HOST:PORT, such as {address['host']}:1234")
    if not 1 <= int(address["port"]) < 2**16:
        raise FlagsError(f"--coordinator={coordinator}: the port must be from 1 to 65535")
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise FlagsError(
            "--coordinator needs --num_processes of at least 1 and a --process_id from 0 below it, "
            f"not {num_processes} and {process_id}"
        )


def start(
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = -1,
    *,
    find: bool = True,
    limits: config_lib.Hosts | None = None,
    watch: Watch | None = None,
) -> None:
    """Join the processes of one run; does nothing for a single process. Call before any other use of JAX.

    Args:
      coordinator: address and port of process 0, such as "10.0.0.1:1234". Empty: JAX asks what :func:`launcher` found.
      num_processes, process_id: with a coordinator, how many there are, and which one this is, from 0. All three are
        such as :func:`check_flags` admits.
      find: without a coordinator, whether to look for a launcher at all.
      limits: ``start_seconds`` is the longest wait for the others. watch: tells who is missing, and others of the end.

    Raises:
      HostError: there is nobody to ask. Where the others do not come in time the process says so and exits with
        status 1, since JAX's own wait cannot be broken off.
    """
    if coordinator:
        failed = f"process {process_id} of {num_processes} found no run at {coordinator}"
        given = {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
        _initialize(failed, limits or config_lib.Hosts(), watch, **given)
    elif find and (name := launcher(os.environ)):
        _log.info("%s started several processes: joining them", name)
        failed = (
            f"{name} seems to have started several processes, which did not find each other: give each "
            "--coordinator=HOST:PORT --num_processes=N --process_id=I, or --distributed=off if each is its own run"
        )
        devices = _devices_of_slurm_task(os.environ) if name == SLURM else None
        _initialize(failed, limits or config_lib.Hosts(), watch, local_device_ids=devices)


SLURM, TPU, KUBERNETES, OPEN_MPI = "Slurm", "the TPU pod", "Kubernetes", "Open MPI"


def launcher(environment: Mapping[str, str]) -> str:
    """What started this as one of several processes, by its environment variables; empty for a single process.

    JAX finds the coordinator for each of these by itself (``jax.distributed.initialize()`` without arguments), but it
    does not ask whether there is anyone to wait for. In order:

    - Open MPI, under ``mpirun``: OMPI_COMM_WORLD_SIZE.
    - Slurm, in a step of several tasks (``srun``): SLURM_STEP_NUM_TASKS. A batch script outside srun, or a notebook in
      an allocation, is a single process, whatever the allocation holds.
    - A TPU of several hosts or slices: TPU_PROCESS_ADDRESSES or TPU_WORKER_HOSTNAMES, and MEGASCALE_NUM_SLICES. Where
      neither is set, the machine's metadata may know: only JAX asks them, and on one host it waits for nobody.
    - An indexed job or JobSet of Kubernetes: JOB_COMPLETION_INDEX. Its number of pods is not in the environment; JAX
      asks the cluster for it, with the package ``kubernetes``.
    """
    if _count(environment.get("OMPI_COMM_WORLD_SIZE")) > 1:
        return OPEN_MPI
    if _count(environment.get("SLURM_STEP_NUM_TASKS")) > 1 and "SLURM_PROCID" in environment:
        return SLURM
    workers = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES")
    # Where libtpu finds no TPU, it leaves a warning in the place of names.
    if workers and " " not in workers:
        several = len(workers.split(",")) > 1 or _count(environment.get("MEGASCALE_NUM_SLICES")) > 1
        return TPU if several else ""
    # JAX sets the first where it finds TPU chips, and the second where no metadata are to be asked.
    if environment.get("TPU_ML_PLATFORM") == "JAX" and "TPU_SKIP_MDS_QUERY" not in environment:
        return TPU
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return KUBERNETES
    return ""


def _place(coordinator: str, num_processes: int, process_id: int, find: bool) -> tuple[int, int] | None:
    """This process's number and how many there are; None where only JAX can find out."""
    if coordinator:
        return process_id, num_processes
    name = launcher(os.environ) if find else ""
    own, all_ = {SLURM: ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), OPEN_MPI: _OPEN_MPI}.get(name, ("", ""))
    if own:
        return _count(os.environ.get(own)), _count(os.environ.get(all_))
    return None if name else (0, 1)


_OPEN_MPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")


def _count(value: str | None) -> int:
    return int(value) if value and value.isdecimal() else 0


def _devices_of_slurm_task(environment: Mapping[str, str]) -> list[int] | None:
    """All GPUs of the node for its only task. JAX would give a task one, the one that has the task's number."""
    gpus = _count(environment.get("SLURM_GPUS_ON_NODE"))
    is_alone = re.fullmatch(r"1(\(x\d+\))?", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    return list(range(gpus)) if gpus and is_alone else None


def _initialize(failed: str, limits: config_lib.Hosts, watch: Watch | None, **options: Any) -> None:
    """``jax.distributed.initialize``, which ends in time and in words."""
    heartbeats.note("waiting for all processes to start", slow=True)
    if watch:
        watch.is_meeting = True

    def give_up() -> None:
        words = f"{failed} (waited for {limits.start_seconds} s{watch.missing() if watch else ''})"
        (watch.leave if watch else _leave)(words, FAILED)

    # JAX aborts the process at its own bounds, with no exception to catch: leave before.
    leave = threading.Timer(limits.start_seconds, give_up)
    leave.daemon = True
    leave.start()
    later = 2 * limits.lost_seconds + 60
    try:
        jax.distributed.initialize(
            **options,
            initialization_timeout=limits.start_seconds + later,
            heartbeat_timeout_seconds=later,
            shutdown_timeout_seconds=later,
        )
    except Exception as error:
        if watch:
            # Process 0 may have been told to end, and cut the connection.
            watch.hear_others()
        raise HostError(f"{failed} ({type(error).__name__}: {error})") from error
    finally:
        leave.cancel()
    if watch:
        watch.is_meeting = False
    _log.info("process %d of %d, %d local devices", jax.process_index(), jax.process_count(), jax.local_device_count())


def _leave(words: str, status: int) -> None:
    streams.say(f"dfjax: {words}")
    os._exit(status)


def from_first(value: bytes) -> bytes:
    """Process 0's bytes, on every process."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(value))))
    padded = np.zeros(size, np.uint8)
    if jax.process_index() == 0:
        padded[:] = np.frombuffer(value, np.uint8)
    return multihost_utils.broadcast_one_to_all(padded).astype(np.uint8).tobytes()


def from_all(value: bytes) -> list[bytes]:
    """Each process's bytes, by rank, on every process; where all are empty nothing but their lengths is sent."""
    if jax.process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    sizes = np.ravel(multihost_utils.process_allgather(np.int32(len(value))))
    # To a power of two, as each length is compiled for.
    padded = np.zeros(1 << int(sizes.max()).bit_length() if sizes.any() else 0, np.uint8)
    padded[: len(value)] = np.frombuffer(value, np.uint8)
    rows = multihost_utils.process_allgather(padded) if sizes.any() else [padded] * len(sizes)
    return [np.asarray(row[:size], np.uint8).tobytes() for row, size in zip(rows, sizes, strict=True)]
