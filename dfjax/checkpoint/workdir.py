"""The work directory of one run: where its files are, and what state it is in."""

import contextlib
import dataclasses
import enum
import re
import shutil
from pathlib import Path

from dfjax import config as config_lib
from dfjax.checkpoint.store import ITEMS, CheckpointError
from dfjax.core import storage


class Found(enum.Enum):
    """What a work directory holds."""

    NEW = "nothing yet"
    STARTED = "a run that saved no checkpoint yet"
    RESUMABLE = "a run to go on with"
    DAMAGED = "a damaged run"
    FOREIGN = "something else than a run"


@dataclasses.dataclass(frozen=True)
class Workdir:
    """Paths below one work directory."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def snapshots(self) -> Path:
        """Power-function averages as they were tracked, by step."""
        return self.path / "averages" / "snapshots"

    def reconstructed(self, std: float) -> Path:
        """Averages of length ``std`` that were made from the snapshots, by step."""
        return self.path / "averages" / "posthoc" / f"std_{std}"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.model"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def skipped_steps(self) -> Path:
        """Steps that changed nothing, since a number was not finite."""
        return self.path / "skipped_steps.jsonl"

    @property
    def rollbacks(self) -> Path:
        """Spikes of the loss after which the run went back to a checkpoint."""
        return self.path / "rollbacks.jsonl"

    @property
    def bad_records(self) -> Path:
        return self.path / "bad_records.jsonl"

    @property
    def heartbeats(self) -> Path:
        """Signs of life of the processes at work here."""
        return self.path / "heartbeats"

    @property
    def launch(self) -> Path:
        """What was handed to an engine (Slurm, XPK, ...) to start the run, and what the engine says of it."""
        return self.path / "launch"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint folder under its final name, in order."""
        folders = (path for path in self.checkpoints.glob("step_*") if path.is_dir())
        return sorted(int(path.name[5:]) for path in folders if re.fullmatch("[0-9]{1,10}", path.name[5:]))

    def incomplete(self, step: int) -> list[str]:
        """What the checkpoint of ``step`` lacks; a whole one lacks nothing, since it got its name in one rename."""
        folder = self.checkpoints / f"step_{step}"
        return [name for name in (*ITEMS, "_CHECKPOINT_METADATA") if not (folder / name).exists()]

    def made(self, step: int) -> int:
        """When the checkpoint of ``step`` was made, in nanoseconds of its storage's clock; 0 where there is none."""
        try:
            return (self.checkpoints / f"step_{step}").stat().st_mtime_ns
        except OSError:
            return 0

    def _is_ours(self) -> bool:
        """Whether a run of dfjax made this folder: it has a checkpoint, a config of ours, or nothing but the start."""
        if self.steps():
            return True
        if self.config.exists():
            try:
                config_lib.from_json(self.config.read_text(encoding="utf-8"))
            except (config_lib.ConfigError, UnicodeDecodeError):
                return False
            return True
        return self._names() == {self.checkpoints.name}

    def _names(self) -> set[str]:
        """What is here, besides what comes before a run and what a kill left half written."""
        parts = {storage.part(path).name for path in (self.config, self.tokenizer)}
        passing = {self.heartbeats.name, self.launch.name} | parts
        return {entry.name for entry in self.path.iterdir()} - passing

    def discard_unused(self) -> None:
        """Take the folder away if it holds nothing but signs of life: of a run that was refused before it began."""
        if self.path.is_dir() and not self._names():
            shutil.rmtree(self.heartbeats, ignore_errors=True)
            # Not by force: somebody may have put something there meanwhile.
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def inspect(self) -> tuple[Found, str]:
        """What is here, and a sentence on it that says what to do."""
        if self.path.exists() and not self.path.is_dir():
            return Found.FOREIGN, f"{self.path} is a file and no folder: choose another --workdir"
        if file := next((parent for parent in self.path.parents if parent.is_file()), None):
            return Found.FOREIGN, f"{self.path}: {file} is a file and no folder: choose another --workdir"
        if not self.path.exists() or not self._names():
            return Found.NEW, f"{self.path} is new"
        if not self._is_ours():
            return Found.FOREIGN, f"{self.path} is not empty and no run of dfjax: choose another --workdir"
        if not self.steps():
            return Found.STARTED, f"{self.path} has a run that ended before its first checkpoint: it starts again"
        *older, newest = self.steps()
        if missing := self.incomplete(newest):
            whole = [step for step in older if not self.incomplete(step)]
            back = f"delete that folder to go on from step {whole[-1]}" if whole else "start anew in another --workdir"
            return Found.DAMAGED, (
                f"the checkpoint {self.checkpoints / f'step_{newest}'} is damaged: {', '.join(missing)} missing; {back}"
            )
        return Found.RESUMABLE, f"{self.path} has a run, saved at step {newest}"

    def check(self) -> tuple[Found, str]:
        """:meth:`inspect`. Raises CheckpointError for what no run may be started in."""
        found, words = self.inspect()
        if found in (Found.DAMAGED, Found.FOREIGN):
            raise CheckpointError(words)
        return found, words

    def require_checkpoint(self) -> int:
        """The newest checkpoint's step. Raises CheckpointError, in words, if there is none to use."""
        if not self.path.exists():
            raise CheckpointError(
                f"the work directory {self.path} does not exist: `dfjax train --workdir={self.path}` makes one"
            )
        found, words = self.inspect()
        if found is Found.RESUMABLE:
            return self.steps()[-1]
        if found is Found.DAMAGED:
            raise CheckpointError(words)
        raise CheckpointError(
            f"{self.path} has no checkpoint ({found.value}): `dfjax train --workdir={self.path}` makes them"
        )
