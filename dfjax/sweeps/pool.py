"""The runs of a sweep as processes of this machine, so many at a time."""

import collections
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from dfjax.core import streams
from dfjax.core.errors import FAILED, PREEMPTED, WRONG_USE
from dfjax.sweeps import state
from dfjax.sweeps.frozen import Sweep
from dfjax.sweeps.lines import Line

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_SAID = 400


class _Run:
    """One process, whose words come out with the line's number before each of theirs."""

    def __init__(self, line: Line, command: Sequence[str], environment: Mapping[str, str]):
        self.line, self.last = line, ""
        # In a group of its own: Ctrl-C in a terminal comes to the sweep alone, which passes it on once.
        self.process = subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for said in self.process.stdout:
            if said.startswith("dfjax: "):
                self.last = said.removeprefix("dfjax: ").strip()[:_SAID]
            # Read on where nobody reads this: a run whose output nobody takes would stand still.
            streams.say(f"[{self.line.number}] {said.rstrip()}")

    def end(self) -> int:
        """The exit status of the ended process, all of whose words are out; a signal N is 128 + N."""
        self._reader.join(timeout=5)
        status = self.process.wait()
        return status if status >= 0 else 128 - status


class Pool:
    """Starts runs, tells them to end, and says what they ended with. Use as a context manager: none is left behind."""

    def __init__(self, sweep: Sweep, command: Callable[[Line], Sequence[str]], environment: Mapping[str, str]):
        """``command``: all words of the program that runs a line. ``environment``: variables besides this process's."""
        self._sweep, self._command = sweep, command
        self._environment = os.environ | environment
        self._runs: dict[int, _Run] = {}

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_) -> None:
        for run in self._runs.values():
            run.process.terminate()
        for run in self._runs.values():
            run.process.wait()

    def __len__(self) -> int:
        """How many run now."""
        return len(self._runs)

    def start(self, line: Line) -> None:
        """Start the run of a line, or let it go on."""
        _log.info("line %d starts: %s", line.number, line.name)
        state.forget(self._sweep.workdir(line))
        self._runs[line.number] = _Run(line, self._command(line), self._environment)

    def tell(self, line: Line | None = None) -> None:
        """Have one run, or all of them, save and end."""
        for number, run in self._runs.items():
            if line is None or line.number == number:
                run.process.terminate()

    def ended(self) -> list[tuple[Line, int]]:
        """The runs that ended since the last call, and their exit statuses. What failed is noted beside the run."""
        found = []
        for run in [each for each in self._runs.values() if each.process.poll() is not None]:
            del self._runs[run.line.number]
            status = run.end()
            if status in (FAILED, WRONG_USE):
                state.fail(self._sweep.workdir(run.line), run.last or f"status {status}")
            found.append((run.line, status))
        return found


# SIGHUP: the terminal is closed.
_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Told:
    """Counts requests to end (SIGTERM, SIGINT, SIGHUP) while it is entered."""

    count = 0

    def __enter__(self) -> "Told":
        self._before = {number: signal.signal(number, self._note) for number in _REQUESTS}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_) -> None:
        self.count += 1


def run(pool: Pool, lines: Sequence[Line], parallel: int) -> tuple[dict[int, int], bool]:
    """Run lines in order, ``parallel`` (>= 1) at a time. One that fails does not end the others.

    Told to end, no other is started, and those that run save and end; told again, they end at once.

    Returns:
      The exit status of each line that was started, by number; and whether it was told to end.
    """
    queue, statuses, passed_on = collections.deque(lines), {}, 0
    with Told() as told:
        while queue or len(pool):
            if told.count > passed_on:
                _log.warning("told to end: what runs saves and ends")
                passed_on = told.count
                queue.clear()
                pool.tell()
            while queue and len(pool) < parallel:
                pool.start(queue.popleft())
            time.sleep(_POLL_SECONDS)
            for line, status in pool.ended():
                statuses[line.number] = status
                _log.info("line %d ended: %s", line.number, words(status))
        return statuses, told.count > 0


def words(status: int) -> str:
    """What an exit status means."""
    if status > 128:
        return f"killed (status {status})"
    return {0: "finished", PREEMPTED: "told to end, and saved"}.get(status, f"failed (status {status})")
