"""What every engine's file gives: what would be handed over, said before it is done."""

import dataclasses
import logging
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from dfjax.core import storage
from dfjax.launching.errors import LaunchError

_log = logging.getLogger(__name__)


def option(default, doc: str, choices: tuple[str, ...] = ()):
    """A field of an engine's ``Options``: a flag of ``dfjax launch ENGINE``, of the type of its default."""
    return dataclasses.field(default=default, metadata={"doc": doc, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Handover:
    """All that an engine is given for a job.

    Attributes:
      files: what is written before, by path.
      commands: what is run then, one after another, each as its words: nothing goes through a shell.
      watch, stop, resume: commands for the user, as they are typed.
      is_trial: whether the engine only says what it would do, and starts nothing.
      is_waited_for: whether a command ends with its job, and with the job's status.
      is_several: whether each command is a job of its own, so that one that is refused says nothing of the next.
    """

    files: tuple[tuple[Path, str], ...]
    commands: tuple[tuple[str, ...], ...]
    watch: str
    stop: str
    resume: str
    is_several: bool = False
    is_trial: bool = False
    is_waited_for: bool = False

    def words(self) -> str:
        """What ``--dry_run`` prints: each file and each command, whole."""
        files = [f"# file {path}\n{text.rstrip()}\n" for path, text in self.files]
        return "\n".join([*files, *(shlex.join(command) for command in self.commands)])

    def advice(self) -> str:
        """How to watch, stop and resume the job, a line each."""
        return f"watch:  {self.watch}\nstop:   {self.stop}\nresume: {self.resume}"


def submit(handover: Handover) -> None:
    """Write the files and run the commands; their output is the user's.

    Raises:
      LaunchError: a program is not here, or refused; nothing is started after that, unless jobs are several.
    """
    for command in handover.commands:
        require(command[0])
    for path, text in handover.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.replace(path, text.encode())
    refused = []
    for command in handover.commands:
        _log.info("%s", shlex.join(command))
        status = subprocess.run(command, check=False).returncode
        if status:
            did = "refused, or its job ended badly" if handover.is_waited_for else "refused"
            refused.append(f"{command[0]} {did} (status {status}), as it says above: {shlex.join(command)}")
            if not handover.is_several:
                break
    if refused:
        raise LaunchError("; ".join(refused))


def become(handover: Handover) -> None:
    """Let the one command take this process's place, with its signals, its output and its exit status.

    Raises:
      LaunchError: a program is not here.
    """
    (command,) = handover.commands
    require(command[0])
    os.execvp(command[0], command)


def require(program: str) -> None:
    """Raise LaunchError unless an engine's program is installed here."""
    if shutil.which(program) is None:
        raise LaunchError(
            f"there is no {program} on this machine: run this where it is; --dry_run says what would be handed over"
        )
