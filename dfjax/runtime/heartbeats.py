"""Signs of life between the processes of a run: a small file for each in the work directory, rewritten all the time.

They need no coordinator and no common clock: a process lives while its file changes before a reader's eyes. A file of
an earlier start does not change, and so says nothing.
"""

import dataclasses
import json
import os
import socket
import time
import uuid
from pathlib import Path

# A file is overwritten in place, always this long: on a full disk too, and no reader meets it cut short.
_BYTES = 1024
_MOST_WORDS = 400
# Of a process elsewhere: it beats every two seconds.
_FRESH_SECONDS = 30.0


@dataclasses.dataclass
class Activity:
    """What this process is doing. ``changes`` counts how often that became something else."""

    phase: str = "starting"
    step: int = 0
    is_slow: bool = True
    changes: int = 0


NOW = Activity()


def note(phase: str, step: int | None = None, *, slow: bool = False) -> None:
    """Say what this process is about to do, after which step; ``slow`` if it may well take as long as a compilation."""
    NOW.phase, NOW.is_slow = phase, slow
    NOW.step = NOW.step if step is None else step
    NOW.changes += 1


@dataclasses.dataclass(frozen=True)
class Beat:
    """One sign of life. ``status`` and ``words`` are those that the process ends with, once it does."""

    rank: int
    start: str  # another at each start of the process
    count: int
    phase: str
    step: int
    changes: int
    host: str
    pid: int
    kernel: str  # where the pid means something
    born: str
    status: int | None = None
    words: str = ""

    @property
    def name(self) -> str:
        """Such as ``process 2 (node-3, pid 4711)``."""
        return f"process {self.rank} ({self.host}, pid {self.pid})"

    @property
    def place(self) -> str:
        """Such as ``saving after step 12``."""
        return f"{self.phase} after step {self.step}" if self.step else self.phase

    def is_gone(self) -> bool:
        """Whether the process is known to have ended, which can be told of one on this machine only."""
        return bool(self.kernel) and self.kernel == _kernel() and _born(self.pid) != self.born

    def is_stopped(self) -> bool:
        """Whether the process is there and known to be stopped (SIGSTOP), so that no signal but two reaches it."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return False
        return self.is_there() and state in "tT"

    def is_there(self) -> bool:
        """Whether the process is known to be there, if only stopped; can be told of one on this machine only."""
        return bool(self.kernel) and self.kernel == _kernel() and _born(self.pid) == self.born


class Heart:
    """Writes this process's signs of life."""

    def __init__(self, folder: Path, rank: int):
        self._path = path(folder, rank)
        self._beat = Beat(
            rank=rank,
            start=uuid.uuid4().hex,
            count=0,
            phase=NOW.phase,
            step=NOW.step,
            changes=NOW.changes,
            host=socket.gethostname(),
            pid=os.getpid(),
            kernel=_kernel(),
            born=_born(os.getpid()),
        )

    def beat(self, status: int | None = None, words: str = "") -> None:
        """Rewrite the file. Raises OSError."""
        self._beat = dataclasses.replace(
            self._beat,
            count=self._beat.count + 1,
            phase=NOW.phase,
            step=NOW.step,
            changes=NOW.changes,
            status=status,
            words=words[:_MOST_WORDS],
        )
        text = json.dumps(dataclasses.asdict(self._beat))
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, text.encode().ljust(_BYTES - 1)[: _BYTES - 1] + b"\n")
        finally:
            os.close(file)

    def process_began(self) -> float:
        """When this process was started, in seconds of the clock that dates the files of this folder."""
        return self._path.stat().st_mtime - _age_seconds()

    def is_displaced(self) -> bool:
        """Whether another start of the same process writes to the same file."""
        found = read(self._path)
        return found is not None and found.start != self._beat.start


def path(folder: Path, rank: int) -> Path:
    """The file of process ``rank``."""
    return folder / f"process_{rank}.json"


def read(file: Path) -> Beat | None:
    """What a file says; None where there is none, or none that can be read now."""
    try:
        return Beat(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def written(file: Path) -> float:
    """When a file was last written, in seconds of its storage's clock; 0 where there is none."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def at_work(folder: Path) -> list[Beat]:
    """The processes that are at work in a run now, as far as their signs of life tell. Takes no lock.

    Of a process of this machine it is known. One of another machine counts as long as its file is fresh, by the clocks
    of both machines: where they differ by more than a few seconds, a run that lives may seem gone.
    """
    found = []
    for file in sorted(folder.glob("process_*.json")):
        beat = read(file)
        if beat is None or beat.status is not None or beat.is_gone():
            continue
        if beat.is_there() or abs(time.time() - written(file)) < _FRESH_SECONDS:
            found.append(beat)
    return found


def _kernel() -> str:
    """The boot and the namespace that pids of this process belong to; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process was started, in ticks since boot; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _age_seconds() -> float:
    """How long ago this process was started; 0 where the system does not say."""
    born = _born(os.getpid())
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(born) / os.sysconf("SC_CLK_TCK") if born else 0.0
