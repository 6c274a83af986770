"""The commands as a user calls them: in a process of their own."""

import os
import pathlib
import subprocess
import sys

RECIPE = pathlib.Path(__file__).with_name("recipe.py")


def start(*arguments: str, compiled_as_ever: bool = False) -> subprocess.Popen:
    """``dfjax ARGUMENTS`` in the background, on one CPU device, with the tests' flags for the compiler or none."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    if compiled_as_ever:
        environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-m", "dfjax.cli.main", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def dfjax(*arguments: str, compiled_as_ever: bool = False) -> subprocess.CompletedProcess:
    """``dfjax ARGUMENTS`` to its end."""
    process = start(*arguments, compiled_as_ever=compiled_as_ever)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def train(workdir: pathlib.Path, data: str, *overrides: str) -> list[str]:
    """The arguments of a small training run. Nothing it compiles is kept."""
    flags = [f"--config={RECIPE}", f"--workdir={workdir}", f"--config.data.dir={data}", "--compilation_cache=off"]
    return ["train", *flags, *(f"--config.{override}" for override in overrides)]
