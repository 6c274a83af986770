"""Machines that run a real sshd, and a desk that reaches them, as gcloud reaches the workers of a TPU."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator

from tests import namespaces

_PROGRAMS = ("sshd", "ssh", "ssh-keygen")


def why_not() -> str:
    """Why there can be none here; empty if there can."""
    if missing := [program for program in _PROGRAMS if not _where(program)]:
        return f"a real sshd needs {', '.join(missing)}; on Debian: apt install openssh-server"
    return namespaces.why_not()


def _where(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


class Desk:
    """Where a user sits: a machine with a key that opens the others."""

    def __init__(self, machine: namespaces.Machine, key: pathlib.Path):
        self._machine, self._key = machine, key

    def ssh(self, name: str, command: str) -> subprocess.Popen:
        """A line for the shell of another machine's user, in the background."""
        options = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={os.devnull}", "BatchMode=yes", "LogLevel=ERROR")
        words = ["ssh", f"-i{self._key}", *(f"-o{option}" for option in options), f"root@{name}", "--", command]
        return self._machine.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextlib.contextmanager
def workers(folder: pathlib.Path, variables: dict[str, dict[str, str]]) -> Iterator[Desk]:
    """Machines of these names, each with variables of its own for whoever logs in, and a home ``folder / name``."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with namespaces.machines("desk", *variables) as (desk, *machines), contextlib.ExitStack() as stack:
        for machine in machines:
            (folder / machine.name).mkdir()
            _start(machine, folder, key, variables[machine.name], stack)
        yield Desk(desk, key)


def _start(machine, folder: pathlib.Path, key: pathlib.Path, variables: dict[str, str], stack) -> None:
    passwd, config = folder / f"{machine.name}.passwd", folder / f"{machine.name}.conf"
    passwd.write_text(f"root:x:0:0:root:{folder / machine.name}:/bin/bash\nsshd:x:100:65534::/run/sshd:/bin/false\n")
    lines = (
        f"HostKey {key}",
        f"AuthorizedKeysFile {key}.pub",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        f"PidFile {folder / machine.name}.sshd",
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
    )
    config.write_text("\n".join(lines) + "\n")
    # A file of users, and /run, that only this machine sees.
    machine.run("mount", "--bind", str(passwd), "/etc/passwd")
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    machine.run("mkdir", "-m", "755", "/run/sshd")
    log = stack.enter_context((folder / f"{machine.name}.sshd.log").open("wb"))
    sshd = machine.popen(_where("sshd"), "-D", "-e", "-f", str(config), stdin=subprocess.DEVNULL, stderr=log)
    stack.callback(sshd.communicate)
    stack.callback(sshd.kill)
    deadline = time.monotonic() + 30
    while not (folder / f"{machine.name}.sshd").exists():
        assert time.monotonic() < deadline and sshd.poll() is None, (folder / f"{machine.name}.sshd.log").read_text()
        time.sleep(0.05)
