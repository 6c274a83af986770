"""Starting several hosts, and small values that all must agree on."""

import logging

import jax
import numpy as np

from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)


class HostError(DfjaxError):
    """The hosts of a run did not find each other."""


def start(coordinator: str = "", num_processes: int = 0, process_id: int = -1, timeout_seconds: int = 300) -> None:
    """Join the processes of one run; does nothing for a single process. Call before any other use of JAX.

    Args:
      coordinator: address and port of process 0, such as "10.0.0.1:1234". Empty: a single process.
      num_processes, process_id: how many there are, and which one this is, from 0.
      timeout_seconds: the longest wait for the others.

    Raises:
      HostError: the flags contradict each other, or the others did not come in time.
    """
    if not coordinator:
        if num_processes > 1:
            raise HostError("--num_processes needs --coordinator=HOST:PORT, the address of process 0")
        return
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise HostError(
            "--coordinator needs --num_processes of at least 1 and a --process_id from 0 below it, "
            f"not {num_processes} and {process_id}"
        )
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, initialization_timeout=timeout_seconds)
    except Exception as error:
        raise HostError(
            f"process {process_id} of {num_processes} found no run at {coordinator} in {timeout_seconds} s: {error}"
        ) from error
    _log.info("process %d of %d, %d local devices", process_id, num_processes, jax.local_device_count())


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
