"""A thread in each process that lets no wait last for ever: it names who is missing, shows the stacks, and leaves.

It judges by heartbeats alone, and comes before JAX, which would abort the process without a word on who was missing:
JAX's bounds are set later, and its abort when process 0 is gone is held back.
"""

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from dfjax import config as config_lib
from dfjax.core import streams
from dfjax.core.errors import FAILED, KILLED, PREEMPTED, DfjaxError, Preempted
from dfjax.runtime import aborts, heartbeats

_log = logging.getLogger(__name__)

# Of many processes each watches the next ones only. What one of them ends with goes round from watcher to watcher.
_WATCHED = 16
_BEAT_SECONDS = 2.0
_BEATS_BEFORE_LOST = 8
_FIRST_BEATS = 2


class LiveError(DfjaxError):
    """Another run is at work in the same work directory."""


class _Peer:
    """What is known of another process."""

    def __init__(self, folder: Path, rank: int, began: float):
        """``began``: when the reader's process was started, see :meth:`heartbeats.Heart.process_began`."""
        self.rank, self._path = rank, heartbeats.path(folder, rank)
        self.beat = heartbeats.read(self._path)
        # It came and ended while this process was still loading its libraries.
        has_ended = bool(self.beat and self.beat.status and heartbeats.written(self._path) >= began)
        self.has_moved, self.restarted = has_ended, False
        self.silent = self.still = 0.0

    def look(self, seconds: float) -> None:
        """Read its file, ``seconds`` after the last time."""
        now, before = heartbeats.read(self._path), self.beat
        self.silent += seconds
        self.still += seconds
        if now is None or (before and (now.start, now.count) == (before.start, before.count)):
            return
        if before and now.start != before.start:
            self.restarted = self.has_moved
        if before is None or (now.start, now.changes) != (before.start, before.changes):
            self.still = 0.0
        # The first sight of a file may be of one that an earlier start left; one of this start may have ended since.
        self.has_moved = self.has_moved or before is not None or now.count <= _FIRST_BEATS
        self.beat, self.silent = now, 0.0

    @property
    def name(self) -> str:
        return self.beat.name if self.beat and self.has_moved else f"process {self.rank}"

    @property
    def place(self) -> str:
        if not self.beat or not self.has_moved:
            return f"{self.name}: no sign of life"
        return f"{self.name}: alive, {self.beat.place}, for {self.still:.0f} s"


class Watch:
    """Signs of life of this process, and the judgement on those of the others. Use as a context manager."""

    def __init__(self, folder: Path, limits: config_lib.Hosts, rank: int = 0, count: int = 1):
        """Take the place of process ``rank`` of ``count`` in a run whose heartbeats are in ``folder``.

        Raises:
          LiveError: another process is at work in that place.
        """
        self._folder, self._is_new = folder, not folder.parent.exists()
        folder.mkdir(parents=True, exist_ok=True)
        # Whether the processes are yet to find each other. Who waits for that has a bound of his own.
        self.is_meeting = False
        self._limits, self._rank, self._count = limits, rank, count
        self._seconds = min(_BEAT_SECONDS, limits.lost_seconds / _BEATS_BEFORE_LOST)
        _refuse_live([heartbeats.path(folder, rank)], 2 * self._seconds)
        self._heart = heartbeats.Heart(folder, rank)
        self._heart.beat()
        began = self._heart.process_began() if count > 1 else 0.0
        self._peers = [_Peer(folder, (rank + i) % count, began) for i in range(1, min(count, _WATCHED + 1))]
        # After so long it is clear whether another process is the cause of an error here.
        self._patience_seconds = limits.lost_seconds + 3 * self._seconds
        self._aborts = contextlib.ExitStack()
        self._changes, self._still, self._writes_fail = -1, 0.0, False
        self._since_met = 0.0
        self._leaving = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dfjax-watch", daemon=True)

    def __enter__(self) -> "Watch":
        if self._count > 1:
            self._aborts.enter_context(aborts.held_back(self._patience_seconds))
        self._thread.start()
        return self

    def __exit__(self, kind, error, _) -> None:
        with self._aborts:
            self._exit(error)

    def _exit(self, error: BaseException | None) -> None:
        if error is None or isinstance(error, Preempted):
            self._end(0, "")
        elif self._count == 1:
            self._end(getattr(error, "status", 1), str(error))
        elif isinstance(error, DfjaxError):
            # Not by the usual way out, where JAX would wait for the others, which do not come.
            self.leave(str(error), error.status)
        else:
            words = "".join(traceback.format_exception(error))
            _log.error("%s\nAsking whether another process is the cause", words)
            # The thread leaves with a better answer, if there is one.
            time.sleep(self._patience_seconds)
            self.leave(words, 1)

    def leave(self, words: str, status: int, *, stacks: bool = False) -> None:
        """End this process at once, with its children's and JAX's ways of ending passed over, and tell the others."""
        with self._leaving:
            if stacks:
                with contextlib.suppress(OSError, ValueError):
                    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
            streams.say(f"dfjax: {words}")
            self._end(status, words)
            # Others may be on their way here, and are to read that this one was told to end.
            if self.is_meeting and status != PREEMPTED:
                self._clear_away()
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)

    def missing(self) -> str:
        """Names of the processes that gave no sign of life so far, for a sentence; empty if all did."""
        names = ", ".join(str(peer.rank) for peer in self._peers if not peer.has_moved)
        return f"; no sign of life from process {names}" if names else ""

    def hear_others(self) -> None:
        """Wait as long as it takes to read what others have ended with: then this process ends with that, not here."""
        self._over.wait(3 * self._seconds)

    def _clear_away(self) -> None:
        """Leave no folder behind of a run that nobody else came to; what others put there stays."""
        if any(peer.has_moved for peer in self._peers) or self._heart.is_displaced():
            return
        with contextlib.suppress(OSError):
            heartbeats.path(self._folder, self._rank).unlink()
            self._folder.rmdir()
            if self._is_new:
                self._folder.parent.rmdir()

    def _end(self, status: int, words: str) -> None:
        self._over.set()
        try:
            # The file may be another start's by now, which would take itself for displaced and end too.
            if not self._heart.is_displaced():
                self._heart.beat(status, words)
        except OSError as error:
            _log.warning("the others cannot be told that this process ends: %s", error)

    def _work(self) -> None:
        before = time.monotonic()
        while not self._over.wait(self._seconds):
            now = time.monotonic()
            # Where this process was stopped itself, or its storage was, the others are not to blame.
            passed, before = min(now - before, 2 * self._seconds), now
            self._since_met = 0.0 if self.is_meeting else self._since_met + passed
            self._beat()
            for peer in self._peers:
                peer.look(passed)
            if self._over.is_set():
                return
            if (judged := self._judge_peers() or self._judge_own(passed)) is not None:
                words, status, stacks = judged
                self.leave(words, status, stacks=stacks)

    def _beat(self) -> None:
        try:
            if self._heart.is_displaced():
                self.leave("another run has started in the same work directory: this one ends", 1)
            self._heart.beat()
            self._writes_fail = False
        except OSError as error:
            if not self._writes_fail:
                _log.warning("no sign of life could be given: %s", error)
            self._writes_fail = True

    def _judge_peers(self) -> tuple[str, int, bool] | None:
        """Why there is no sense in going on without one of the others, the status to leave with, whether with stacks.

        Stacks say where this process waits: not of interest where the other has said what is wrong, or never came.
        """
        for peer in self._peers:
            if words := self._fault(peer):
                status = (peer.beat.status if peer.beat and peer.has_moved else None) or 0
                # A lost one was killed, as a rule, and by the status that says so engines start all of them again.
                own = KILLED if peer.has_moved else FAILED
                return words, status or own, peer.has_moved and not status and not self.is_meeting
        return None

    def _fault(self, peer: _Peer) -> str:
        """What is wrong with a process; empty if nothing is."""
        beat, limits = peer.beat, self._limits
        if beat is None or not peer.has_moved:
            # Who was met gave signs of life before that: a file that does not change is of one that then stopped.
            limit = limits.start_seconds if beat is None else limits.lost_seconds
            if self.is_meeting or min(peer.silent, self._since_met) <= limit:
                return ""
            return (
                f"no sign of life from process {peer.rank} in {peer.silent:.0f} s: "
                "is it started, and is the work directory one that all processes share?"
            )
        if peer.restarted:
            return f"{beat.name} was started anew while this run went on: start all processes again"
        if beat.status:
            return f"{beat.name} ended with status {beat.status}, {beat.place}: {beat.words}"
        if beat.status is None and beat.is_gone():
            return f"{beat.name} is gone without a word; it was {beat.place}"
        if peer.silent <= limits.lost_seconds:
            return ""
        what = "has ended, and this one has not" if beat.status == 0 else f"is lost: it was {beat.place}"
        return f"{beat.name} {what}; nothing from it for {peer.silent:.0f} s. Here {self._own_place()}"

    def _judge_own(self, passed: float) -> tuple[str, int, bool] | None:
        """The same, where this process has been at one thing for longer than it may."""
        now = heartbeats.NOW
        if now.changes != self._changes:
            self._changes, self._still = now.changes, 0.0
        self._still += passed
        key = "phase_seconds" if now.is_slow else "step_seconds"
        if self._still <= getattr(self._limits, key):
            return None
        others = "".join(f"\n  {peer.place}" for peer in self._peers)
        told = f". The others:{others}" if others else ""
        return f"{self._own_place()}, longer than hosts.{key} allows{told}", FAILED, True

    def _own_place(self) -> str:
        now = heartbeats.NOW
        place = f"{now.phase} after step {now.step}" if now.step else now.phase
        return f"process {self._rank} is {place}, for {self._still:.0f} s"


def refuse_live(folder: Path) -> None:
    """Raise LiveError where any process still gives signs of life in ``folder``. Reads only; may wait some seconds."""
    _refuse_live(sorted(folder.glob("process_*.json")), 2 * _BEAT_SECONDS)


def _refuse_live(files: Sequence[Path], patience_seconds: float) -> None:
    """Raise LiveError where the process that writes one of ``files`` is still there."""
    elsewhere = []
    for file in files:
        found = heartbeats.read(file)
        if found is None or found.status is not None or found.is_gone():
            continue
        if found.is_there():
            raise _live(file, found)
        elsewhere.append((file, found))
    if elsewhere:
        # Those of another machine live if they still write.
        time.sleep(patience_seconds + _BEAT_SECONDS)
    for file, found in elsewhere:
        later = heartbeats.read(file)
        if later is not None and later.count != found.count:
            raise _live(file, later)


def _live(file: Path, found: heartbeats.Beat) -> LiveError:
    what = (
        "it is stopped: kill it (SIGKILL), or let it go on (SIGCONT)"
        if found.is_stopped()
        else ("wait for its end or stop it (SIGTERM saves first)")
    )
    return LiveError(
        f"{file.parent.parent} is in use by {found.name}, which is {found.place}: {what}, or choose another --workdir"
    )
