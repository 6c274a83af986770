"""Runs of a plan are played: fault by fault, each after a new start, then to the end, which is compared."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence

from tests.data import tiny
from tests.faults import compare, plan, processes, record, strike
from tests.faults.plan import DISK, TERM, WRITES, Run

_log = logging.getLogger(__name__)

_LONGEST_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class _Struck:
    index: int
    seen: strike.Seen


class Campaign:
    """Plays a seed's runs in ``folder``, which keeps the logs of those that go wrong. Threads may share it."""

    def __init__(self, folder: pathlib.Path, seed: int, code: str = "", kinds: Sequence[str] = (plan.KILL,)):
        """``code``: the version of the code, for the record. ``kinds``: of the faults that are to be played."""
        self._planted = plan.planted(seed, tiny.TinyLabelled.COUNT, kinds)
        self.folder, self._code = folder, code
        self._lengths = strike.Lengths()
        self._undisturbed: dict[int, compare.State] = {}
        # Undisturbed runs are made once, and arrays are read by one thread at a time.
        self._alone = threading.Lock()
        data = folder / f"data_{seed}"
        if not data.exists():
            tiny.TinyLabelled(data_dir=str(data), damaged=self._planted.damaged).download_and_prepare()
        self._arguments = processes.arguments(data, folder / "cache", *strike.OVERRIDES)

    def undisturbed(self, count: int) -> compare.State:
        """What ``count`` processes come to by themselves. Raises RuntimeError if even they fail."""
        with self._alone:
            if count not in self._undisturbed:
                folder = self.folder / f"undisturbed_{count}"
                shutil.rmtree(folder, ignore_errors=True)
                workdir = folder / "run"
                if fault := self._finish(count, workdir, folder / "start"):
                    raise RuntimeError(f"the undisturbed run of {count} processes failed: {fault}")
                self._undisturbed[count] = found = compare.read(workdir)
                if wrong := _not_met(self._planted, found):
                    raise RuntimeError(f"the undisturbed run of {count} processes: {wrong}")
            return self._undisturbed[count]

    def play(self, run: Run) -> list[record.Line]:
        """A line for each fault of the run that was done; one whose instant did not come has none."""
        wanted = self.undisturbed(run.processes)
        folder = self.folder / f"run_{run.seed}_{run.number}"
        shutil.rmtree(folder, ignore_errors=True)
        with _disk(folder / "disk", is_small=any(fault.kind == DISK for fault in run.faults)) as disk:
            lines = self._play(run, folder, disk / "run", wanted)
        if all(line.outcome == record.EQUAL and not line.wrong for line in lines):
            shutil.rmtree(folder)
        return lines

    def _play(self, run: Run, folder: pathlib.Path, workdir: pathlib.Path, wanted: compare.State) -> list[record.Line]:
        struck: list[_Struck] = []
        outcome, apart = "", compare.Difference((), 0.0)
        for index, fault in enumerate(run.faults):
            with self._start(run.processes, workdir, folder / f"start_{index}") as started:
                seen = strike.strike(started, fault, self._lengths)
                failed = _failed(started, fault.rank) if seen is None else ""
            if failed:
                outcome = record.FAILED
                _log.error("run %d, start %d failed: %s", run.number, index, failed)
                break
            if seen:
                struck.append(_Struck(index, seen))
                _log.info(
                    "run %d (%d processes): %s in %s, %s", run.number, run.processes, fault.kind, seen.instant, seen
                )
        if not outcome and (failed := self._finish(run.processes, workdir, folder / "last_start")):
            outcome = record.FAILED
            _log.error("run %d, last start failed: %s", run.number, failed)
        if not outcome:
            with self._alone:
                found = compare.read(workdir)
                if any(fault.kind == TERM for fault in run.faults):
                    wanted, found = compare.without_means(wanted), compare.without_means(found)
                if any(fault.kind in (DISK, WRITES) for fault in run.faults):
                    wanted, found = compare.in_both(wanted, found)
                apart = compare.difference(wanted, found)
            outcome = record.DIFFERS if apart.names else record.EQUAL
            _log.info("run %d: %s %s", run.number, outcome, ", ".join(apart.names[:5]))
        return self._lines(run, struck, outcome, apart.largest)

    def _lines(self, run: Run, struck: list[_Struck], outcome: str, largest: float) -> list[record.Line]:
        lines = []
        for one in struck:
            fault, is_last = run.faults[one.index], one is struck[-1]
            lines.append(
                record.Line(
                    code=self._code,
                    seed=run.seed,
                    run=run.number,
                    index=one.index,
                    kind=fault.kind,
                    processes=run.processes,
                    rank=fault.rank,
                    planned=fault.instant,
                    instant=one.seen.instant,
                    in_save=one.seen.in_save,
                    step=one.seen.step,
                    # What the restart after the last fault failed at is not the fault of those before.
                    outcome=record.UNFINISHED if outcome == record.FAILED and not is_last else outcome,
                    statuses=one.seen.statuses if run.processes > 1 or one.seen.wrong else (),
                    seconds=round(one.seen.seconds, 1),
                    wrong=one.seen.wrong,
                    difference=largest,
                )
            )
        return lines

    def _start(self, count: int, workdir: pathlib.Path, folder: pathlib.Path) -> processes.Processes:
        return processes.Processes(count, workdir, folder, self._arguments, json.dumps(self._planted.numbers()))

    def _finish(self, count: int, workdir: pathlib.Path, folder: pathlib.Path) -> str:
        """Start and let end; words if that fails."""
        with self._start(count, workdir, folder) as started:
            started.wait(_LONGEST_SECONDS)
            self._lengths.note(started, has_ended=True)
            return _failed(started, 0)


def _not_met(planted: plan.Planted, found: compare.State) -> str:
    """What a run was to meet and did not, or met and was not to; empty if all is as planted."""
    met = {
        "skipped steps": [line["step"] for line in found.others["skipped_steps"]],
        "spikes": [line["number"] for line in found.others["rollbacks"]],
        "bad records": len({line["id"] for line in found.others["bad_records"]}),
    }
    wanted = {
        "skipped steps": list(planted.nans),
        "spikes": [] if planted.spike is None else [planted.spike],
        # In both splits.
        "bad records": 2 * len(planted.damaged),
    }
    return "" if met == wanted else f"{met}, not {wanted}"


def _failed(started: processes.Processes, rank: int) -> str:
    """What is wrong with processes that should all have ended with 0; empty if nothing is. Waits a little for them."""
    started.wait(10.0)
    statuses = started.statuses()
    if all(status == 0 for status in statuses):
        return ""
    return f"statuses {statuses}, logs in {started.folder}; process {rank}: {started.words(rank)[-500:]}"


@contextlib.contextmanager
def _disk(folder: pathlib.Path, *, is_small: bool) -> Iterator[pathlib.Path]:
    """A new folder; a small one is a file system of its own, which only root can make."""
    folder.mkdir(parents=True)
    if not is_small:
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "dfjax-faults", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
