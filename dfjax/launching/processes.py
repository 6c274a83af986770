"""``python -m dfjax.launching.processes --count=N --devices=M -- train ...``: one run as N processes of this machine.

Each writes with its rank before the line. All end when one fails. Told to end (SIGTERM, Ctrl-C), or where this one is
killed, they save first; told twice, they end at once. It ends with 42 if they were told to end and saved, else as the
first that failed did.
"""

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

from dfjax.core.errors import PREEMPTED

# Of processes that were told to end because another one failed: what they write by then is all they can save.
_GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.05


class Processes:
    """The processes of one run, from their start to the end of the last one."""

    def __init__(self, commands: Sequence[Sequence[str]], environment: dict[str, str]):
        self._told = 0
        # Nobody is asked to end before all have started, and none is left behind.
        with _blocked():
            self._all = [
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    # Else Ctrl-C would reach them from the terminal too, and count as the second.
                    start_new_session=True,
                    preexec_fn=_set_up,
                )
                for command in commands
            ]
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self._pass_on)
        self._readers = [
            threading.Thread(target=_copy, args=(source, target, f"[{rank}] ".encode()), daemon=True)
            for rank, process in enumerate(self._all)
            for source, target in ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
        ]
        for reader in self._readers:
            reader.start()

    def wait(self) -> int:
        """The exit status of the run, once all have ended."""
        failed, deadline = 0, 0.0
        while any(process.poll() is None for process in self._all):
            failed = failed or self._first_failure()
            if failed and not deadline:
                self._send(signal.SIGTERM)
                deadline = time.monotonic() + _GRACE_SECONDS
            if deadline and time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        for reader in self._readers:
            # A worker of a process that was killed may hold its output open.
            reader.join(timeout=5)
        statuses = [process.returncode for process in self._all]
        return failed or self._first_failure() or (PREEMPTED if PREEMPTED in statuses else 0)

    def _first_failure(self) -> int:
        """The status of one that failed, as a shell tells it; 0 for none. To have saved is not to have failed."""
        for process in self._all:
            if (status := process.poll()) and status != PREEMPTED:
                return status if status > 0 else 128 - status
        return 0

    def _pass_on(self, number: int, _) -> None:
        self._told += 1
        # A process ends at once at the second request, if it can.
        self._send(signal.SIGTERM if self._told <= 2 else signal.SIGKILL)

    def _send(self, number: int) -> None:
        for process in self._all:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


@contextlib.contextmanager
def _blocked():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# Linux tells a process that asks for it that its parent is gone (prctl(2), PR_SET_PDEATHSIG).
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_PARENT_DEATH_SIGNAL = 1


def _set_up() -> None:
    """In a new process: it saves and ends when its starter is killed, and hears requests again."""
    if _prctl:
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)


def _copy(source: BinaryIO, target: BinaryIO, prefix: bytes) -> None:
    """Copy lines as they come, each in one piece with ``prefix`` before it."""
    for line in source:
        # Read on where nobody reads this, or the disk is full: a process whose output nobody takes would stand still.
        with contextlib.suppress(OSError, ValueError):
            target.write(prefix + (line if line.endswith(b"\n") else line + b"\n"))
            target.flush()


def environment(devices: int, address: str) -> dict[str, str]:
    """Of each process: on ``devices`` virtual CPU devices, with a coordinator that listens on loopback only."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}".strip()
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_BIND_ADDRESS": address,
        "XLA_FLAGS": flags,
    }


def commands(count: int, address: str, words: Sequence[str]) -> list[list[str]]:
    """What each rank runs."""
    together = [f"--coordinator={address}", f"--num_processes={count}"] if count > 1 else ["--distributed=off"]
    ranks = [[f"--process_id={rank}"] if count > 1 else [] for rank in range(count)]
    return [[sys.executable, "-m", "dfjax.cli.main", *words, *together, *own] for own in ranks]


def _free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m dfjax.launching.processes", description=__doc__)
    parser.add_argument("--count", type=int, default=1, help="processes")
    parser.add_argument("--devices", type=int, default=1, help="virtual devices of each")
    parser.add_argument("words", nargs="+", help="what follows dfjax")
    given = parser.parse_args()
    address = _free_address()
    sys.exit(Processes(commands(given.count, address, given.words), environment(given.devices, address)).wait())


if __name__ == "__main__":
    main()
