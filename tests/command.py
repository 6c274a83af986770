"""The commands as a user calls them: in a process of their own."""

import os
import pathlib
import socket
import subprocess
import sys

RECIPE = pathlib.Path(__file__).with_name("recipe.py")


DFJAX = ("-m", "dfjax.cli.main")


def start(
    *arguments: str, compiled_as_ever: bool = False, program=DFJAX, start_new_session: bool = False, **variables: str
) -> subprocess.Popen:
    """``dfjax ARGUMENTS`` in the background, on one CPU device, with the tests' flags for the compiler or none."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)} | variables
    if compiled_as_ever:
        environment.pop("XLA_FLAGS", None)
    command = [sys.executable, *program, *arguments]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


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


def dfjax(*arguments: str, compiled_as_ever: bool = False) -> subprocess.CompletedProcess:
    """``dfjax ARGUMENTS`` to its end."""
    process = start(*arguments, compiled_as_ever=compiled_as_ever)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def train(workdir: pathlib.Path, data: str, *overrides: str) -> list[str]:
    """The arguments of a small training run. Nothing it compiles is kept."""
    flags = [f"--config={RECIPE}", f"--workdir={workdir}", f"--config.data.dir={data}", "--compilation_cache=off"]
    return ["train", *flags, *(f"--config.{override}" for override in overrides)]
