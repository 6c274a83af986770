"""The processes of a run from one start to their end: what each is at, and what it said."""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tests import command
from tests.faults.plan import COMPILATION, END, EVALUATION, SAVE, START_UP, STEP

STEPS, CHECKPOINT_EVERY = 40, 4
OVERRIDES = (
    f"train.num_steps={STEPS}",
    f"train.checkpoint_every_steps={CHECKPOINT_EVERY}",
    "train.snapshot_every_steps=10",
    "train.validate_every_steps=6",
    "train.sample_every_steps=12",
    "train.log_every_steps=2",
    "train.spike_factor=20.0",
    "train.spike_window=6",
    "optim.ema_stds=(0.1,)",
    "text.depth=0",
    "data.vary_captions=True",
    "data.flip=True",
    "mesh.data=1",
    "mesh.fsdp=-1",
)
# A step of so small a network is over before it could be met.
_PAUSE_SECONDS = 0.03
_PROGRAM = pathlib.Path(__file__).with_name("program.py")
_POLL_SECONDS = 0.003

# What a process says it is at, and the instant that is.
_INSTANTS = {
    "starting": START_UP,
    "waiting for all processes to start": START_UP,
    "preparing": START_UP,
    "reading the first records": START_UP,
    "compiling the step": COMPILATION,
    "reading records": STEP,
    "stepping": STEP,
    "going back": STEP,
    "saving": SAVE,
    "evaluating": EVALUATION,
    "waiting for the last save": END,
    "waiting for the others to end": END,
}


@dataclasses.dataclass(frozen=True)
class Mark:
    """Since when (seconds of the monotonic clock) a process is at something, and after which step."""

    seconds: float
    phase: str
    step: int

    @property
    def instant(self) -> str:
        """Of the last step all is the end."""
        return END if self.step == STEPS else _INSTANTS[self.phase]


class Processes:
    """``dfjax train`` by ``count`` processes, each on one CPU device with one thread. Leaving the context kills them.

    Bits depend on the number of threads, and so nothing else that runs on the machine can change them.
    """

    def __init__(self, count: int, workdir: pathlib.Path, folder: pathlib.Path, arguments: list[str], numbers: str):
        """``folder`` gets marks and logs. ``numbers`` are planted, as ``planted.plant`` takes them."""
        folder.mkdir(parents=True)
        self.workdir, self.folder = workdir, folder
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop("XLA_FLAGS", None)
        joined: list[str] = []
        if count > 1:
            address = f"127.0.0.1:{_free_port()}"
            environment["JAX_COORDINATOR_BIND_ADDRESS"] = address
            joined = [f"--coordinator={address}", f"--num_processes={count}"]
        self.started = time.monotonic()
        self.all = []
        for rank in range(count):
            own = [*joined, f"--process_id={rank}"] if count > 1 else []
            with self._log(rank).open("w") as log:
                program = [sys.executable, str(_PROGRAM), str(self._marks(rank)), str(_PAUSE_SECONDS), numbers]
                self.all.append(
                    subprocess.Popen(
                        [*program, "train", f"--workdir={workdir}", *arguments, *own],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_) -> None:
        for process in self.all:
            process.kill()
        for process in self.all:
            process.wait()

    def _marks(self, rank: int) -> pathlib.Path:
        return self.folder / f"{rank}.marks"

    def _log(self, rank: int) -> pathlib.Path:
        return self.folder / f"{rank}.log"

    def marks(self, rank: int) -> list[Mark]:
        """All that a process was at so far, oldest first."""
        marks = [Mark(self.started, "starting", 0)]
        if self._marks(rank).exists():
            for line in self._marks(rank).read_text().splitlines():
                seconds, phase, step = line.split("\t")
                marks.append(Mark(float(seconds), phase, int(step)))
        return marks

    def words(self, rank: int) -> str:
        return self._log(rank).read_text(errors="replace")

    def unfinished_save(self, rank: int) -> str:
        """The name of the folder that a checkpoint is being written to; empty if none is."""
        if self.marks(rank)[-1].instant in (START_UP, COMPILATION):
            # One that an earlier start left.
            return ""
        return next((path.name for path in (self.workdir / "checkpoints").glob("step_*tmp*")), "")

    def statuses(self) -> list[int | None]:
        """Exit statuses, None for who still runs."""
        return [process.poll() for process in self.all]

    def wait_until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait for something, for so long at most; False if it did not come, or if every process has ended before."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if None not in self.statuses() or time.monotonic() > deadline:
                return is_so()
            time.sleep(_POLL_SECONDS)
        return True

    def wait(self, seconds: float, but: int | None = None) -> bool:
        """Whether all processes (``but`` one) ended within so many seconds."""

        def have_ended() -> bool:
            return all(status is not None for rank, status in enumerate(self.statuses()) if rank != but)

        return self.wait_until(have_ended, seconds)


def arguments(data: pathlib.Path, cache: pathlib.Path, *overrides: str) -> list[str]:
    """Flags of a run, its work directory apart."""
    return [
        f"--config={command.RECIPE}",
        f"--config.data.dir={data}",
        f"--compilation_cache={cache}",
        *(f"--config.{override}" for override in (*OVERRIDES, *overrides)),
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
