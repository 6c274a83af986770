"""The commands as a user calls them: in a process of their own."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

from tests import compiled as compiled_lib

RECIPE = pathlib.Path(__file__).with_name("recipe.py")

DFJAX = ("-m", "dfjax.cli.main")
_started: list[subprocess.Popen] = []


def start(
    *arguments: str, compiled_as_ever: bool = False, program=DFJAX, start_new_session: bool = False, **variables: str
) -> subprocess.Popen:
    """``dfjax ARGUMENTS`` in the background, on one CPU device, with the tests' flags for the compiler or none."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)} | variables
    if compiled_as_ever:
        environment.pop("XLA_FLAGS", None)
    command = [sys.executable, *program, *arguments]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )
    return to_be_ended(process)


def to_be_ended(process: subprocess.Popen) -> subprocess.Popen:
    """The process, which :func:`end_all` will know."""
    _started.append(process)
    return process


def end_all() -> None:
    """Kill what was started and what that started: a test that failed half-way may have left a run."""
    for process in _started:
        if process.poll() is None:
            for pid in (process.pid, *_descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
    _started.clear()


def _descendants(pid: int) -> list[int]:
    files = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(each) for file in files for each in file.read_text().split()]
    return [each for child in children for each in (child, *_descendants(child))]


def start_joined(count: int, *arguments: str, programs=None, **variables: str) -> list[subprocess.Popen]:
    """:func:`start` as ``count`` processes of one run, joined over loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    flags = [f"--coordinator={address}", f"--num_processes={count}"]
    return [
        start(
            *arguments,
            *flags,
            f"--process_id={rank}",
            program=programs[rank] if programs else DFJAX,
            JAX_COORDINATOR_BIND_ADDRESS=address,
            **variables,
        )
        for rank in range(count)
    ]


def ends(processes: list[subprocess.Popen], seconds: float = 300) -> list[tuple[int, str]]:
    """Exit status and stderr of each, which must end in time."""
    try:
        said = [process.communicate(timeout=seconds)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]


def has_trained(workdir: pathlib.Path) -> bool:
    """Whether a run has logged a loss, and so has a step to save."""
    metrics = workdir / "metrics.jsonl"
    return metrics.exists() and '"train/loss"' in metrics.read_text()


def compiled() -> str:
    """The flag by which what a command compiles serves all of this test run."""
    return f"--compilation_cache={compiled_lib.folder()}"


def dfjax(*arguments: str, compiled_as_ever: bool = False) -> subprocess.CompletedProcess:
    """``dfjax ARGUMENTS`` to its end."""
    process = start(*arguments, compiled_as_ever=compiled_as_ever)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def train(workdir: pathlib.Path, data: str, *overrides: str) -> list[str]:
    """The arguments of a small training run."""
    flags = [f"--config={RECIPE}", f"--workdir={workdir}", f"--config.data.dir={data}", compiled()]
    return ["train", *flags, *(f"--config.{override}" for override in overrides)]
