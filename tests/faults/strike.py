"""A fault is done to running processes at its instant, and what was seen of it."""

import contextlib
import dataclasses
import os
import pathlib
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator

from tests.faults.plan import (
    COMPILATION,
    DISK,
    END,
    EVALUATION,
    KILL,
    SAVE,
    START_UP,
    STEP,
    STOP,
    TERM,
    WRITES,
    Fault,
)
from tests.faults.processes import Mark, Processes

FAILED, PREEMPTED, LOST = 1, 42, 137
# From SIGTERM to the end of all processes; from SIGSTOP of one to the end of the others, which name it.
TERM_SECONDS = 30.0
LOST_SECONDS, START_SECONDS = 15, 60
OVERRIDES = (f"hosts.lost_seconds={LOST_SECONDS}", f"hosts.start_seconds={START_SECONDS}")
# What a process may take to notice that its time is up, and to say so, on a machine with much to do.
_SLACK_SECONDS = 15.0
_LONGEST_SECONDS = 300.0
# How long storage fails, and what a file may hold meanwhile where it may not grow: less than a save's arrays need.
_STORAGE_SECONDS = 4.0
_MOST_BYTES = 2**15


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a process was observed to be at when it was struck, and what came of it.

    ``in_save``: the folder of a checkpoint was there, under its temporary name. ``seconds``: until all other processes
    had ended. ``wrong``: what should not have been, in words.
    """

    instant: str
    step: int
    in_save: bool
    statuses: tuple[int | None, ...] = ()
    seconds: float = 0.0
    wrong: str = ""


class Lengths:
    """How long each instant usually takes, in seconds: what was seen last, by number of processes."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, str], float] = {}

    def of(self, count: int, instant: str) -> float:
        usual = {START_UP: 8.0, COMPILATION: 2.0, STEP: 0.05, SAVE: 0.3, EVALUATION: 0.3, END: 1.0}
        return self._seconds.get((count, instant), usual[instant])

    def note(self, processes: Processes, has_ended: bool) -> None:
        """Learn from processes that were not disturbed before the last instant that they were at."""
        marks = processes.marks(0)
        ends = marks[1:] + ([Mark(time.monotonic(), "", 0)] if has_ended else [])
        spent: dict[str, list[float]] = {}
        for mark, end in zip(marks, ends, strict=False):
            spent.setdefault(mark.instant, []).append(end.seconds - mark.seconds)
        for instant in (START_UP, COMPILATION, *([END] if has_ended else [])):
            if instant in spent:
                self._seconds[len(processes.all), instant] = sum(spent[instant])
        if EVALUATION in spent:
            self._seconds[len(processes.all), EVALUATION] = sum(spent[EVALUATION]) / len(spent[EVALUATION])


def strike(processes: Processes, fault: Fault, lengths: Lengths) -> Seen | None:
    """Wait for the fault's instant and do it; None if the process ended before."""
    target = processes.all[fault.rank]
    if not processes.wait_until(_reached(processes, fault), _LONGEST_SECONDS):
        return None
    lengths.note(processes, has_ended=False)
    time.sleep(fault.share * lengths.of(len(processes.all), fault.instant))
    if target.poll() is not None or _met_nothing(processes.marks(fault.rank)):
        return None
    kinds = {KILL: _kill, STOP: _stop, TERM: _term, DISK: _fail_storage, WRITES: _fail_storage}
    return kinds[fault.kind](processes, fault)


def _met_nothing(marks: list[Mark]) -> bool:
    """Whether there was nothing left to do for the processes: the run had all its steps before."""
    return bool(marks) and (marks[-1].instant, marks[-1].step) == (END, 0)


def _reached(processes: Processes, fault: Fault) -> Callable[[], bool]:
    """Whether the fault's instant has begun, or is over already."""
    saves: set[str] = set()

    def is_reached() -> bool:
        marks = processes.marks(fault.rank)
        if fault.instant == SAVE:
            if save := processes.unfinished_save(fault.rank):
                saves.add(save)
            return len(saves) >= fault.nth
        if fault.instant == STEP:
            return len({mark.step for mark in marks if mark.instant == STEP}) >= fault.nth
        return any(mark.instant == fault.instant for mark in marks)

    return is_reached


def _look(processes: Processes, rank: int) -> Seen:
    mark, in_save = processes.marks(rank)[-1], bool(processes.unfinished_save(rank))
    # Saving goes on while the next steps are taken.
    instant = SAVE if in_save and mark.instant == STEP else mark.instant
    return Seen(instant, mark.step, in_save)


def _kill(processes: Processes, fault: Fault) -> Seen | None:
    target = processes.all[fault.rank]
    target.kill()
    if target.wait() != -signal.SIGKILL:
        return None
    seen, since = _look(processes, fault.rank), time.monotonic()
    limit = START_SECONDS if seen.instant == START_UP else LOST_SECONDS
    wrong = ""
    if fault.is_patient:
        in_time = processes.wait(limit + _SLACK_SECONDS)
        wrong = _not_named(processes, fault.rank) if in_time else "others waited on"
    return dataclasses.replace(
        seen, statuses=tuple(processes.statuses()), seconds=time.monotonic() - since, wrong=wrong
    )


def _term(processes: Processes, fault: Fault) -> Seen:
    seen, since = _look(processes, fault.rank), time.monotonic()
    processes.all[fault.rank].terminate()
    in_time = processes.wait(TERM_SECONDS)
    seconds, statuses = time.monotonic() - since, tuple(processes.statuses())
    wrong = "" if in_time else f"not ended in {TERM_SECONDS:g} s"
    if seen.instant in (START_UP, COMPILATION):
        # There is nothing to save yet; before Python listens the signal ends the process itself.
        expected = any(status in (PREEMPTED, -signal.SIGTERM) for status in statuses) and 0 not in statuses
    else:
        expected = set(statuses) <= ({PREEMPTED, 0} if seen.instant == END else {PREEMPTED})
    if in_time and not expected:
        wrong = "another status"
    return dataclasses.replace(seen, statuses=statuses, seconds=seconds, wrong=wrong)


def _stop(processes: Processes, fault: Fault) -> Seen | None:
    others = [rank for rank in range(len(processes.all)) if rank != fault.rank]
    os.kill(processes.all[fault.rank].pid, signal.SIGSTOP)
    seen, since = _look(processes, fault.rank), time.monotonic()
    limit = START_SECONDS if seen.instant == START_UP else LOST_SECONDS
    in_time = processes.wait(limit + _SLACK_SECONDS, but=fault.rank)
    seconds, statuses = time.monotonic() - since, tuple(processes.statuses())
    if all(statuses[rank] == 0 for rank in others):
        # At its very end a run needs nobody any more.
        return None
    wrong = _not_named(processes, fault.rank) if in_time else "others waited on"
    return dataclasses.replace(seen, statuses=statuses, seconds=seconds, wrong=wrong)


def _not_named(processes: Processes, missing: int) -> str:
    """Who ended otherwise than by naming the missing one, in words; empty if nobody did. Done with all is right too."""
    named = re.compile(rf"^dfjax: .*process {missing}\b(?! of)", re.MULTILINE)
    wrong = [
        str(rank)
        for rank, status in enumerate(processes.statuses())
        if rank != missing and status != 0 and (status not in (FAILED, LOST) or not named.search(processes.words(rank)))
    ]
    return f"not named by {', '.join(wrong)}" if wrong else ""


def _fail_storage(processes: Processes, fault: Fault) -> Seen:
    """Storage fails for a while. The run rides that out and saves later, or ends in words."""
    seen, since = _look(processes, fault.rank), time.monotonic()
    pid = processes.all[fault.rank].pid
    with _full(processes.workdir.parent) if fault.kind == DISK else _short_files(pid):
        time.sleep(_STORAGE_SECONDS * fault.share)
        before = _saved(processes)
    goes_on = processes.wait_until(lambda: _saved(processes) - before != set(), _LONGEST_SECONDS)
    statuses = tuple(processes.statuses())
    wrong = ""
    for rank, status in enumerate(statuses):
        if status not in (None, 0) and (status not in (FAILED, LOST) or "Traceback" in processes.words(rank)):
            wrong = "ended without words"
    if not goes_on and None in statuses:
        wrong = "saved no more"
    return dataclasses.replace(seen, statuses=statuses, seconds=time.monotonic() - since, wrong=wrong)


def _saved(processes: Processes) -> set[str]:
    return {path.name for path in (processes.workdir / "checkpoints").glob("step_*") if path.name[5:].isdigit()}


@contextlib.contextmanager
def _full(disk: pathlib.Path) -> Iterator[None]:
    """A file takes all that is free."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
            file.seek(0, os.SEEK_END)
            while True:
                file.write(b"x" * 512)
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _short_files(pid: int) -> Iterator[None]:
    """Files of a process, its log apart, may not grow."""
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (_MOST_BYTES, usual[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
