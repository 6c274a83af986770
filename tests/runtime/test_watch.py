"""What a watch makes of the signs of life of the others; how long is told by its own looks, not by the clock."""

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time

import jax
import pytest

from dfjax import config
from dfjax.core.errors import Preempted
from dfjax.runtime import heartbeats, hosts
from dfjax.runtime import watch as watch_lib
from dfjax.runtime.watch import LiveError, Watch

LIMITS = config.Hosts(start_seconds=5, lost_seconds=1, step_seconds=60, phase_seconds=60)


class Told(Watch):
    """A watch that only says how it would leave."""

    def leave(self, words: str, status: int, *, stacks: bool = False) -> None:
        self.left, self.has_shown_stacks = (words, status), stacks
        self._over.set()

    def ends(self) -> tuple[str, int]:
        self._thread.join(60)
        return self.left


@contextlib.contextmanager
def peer(folder, rank=1):
    """Another process, which beats until it is stopped."""
    heart, stop = heartbeats.Heart(folder, rank), threading.Event()

    def work():
        while not stop.wait(0.02):
            heart.beat()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield heart
    finally:
        stop.set()
        thread.join()


def test_one_that_falls_silent_is_named_with_its_place(tmp_path):
    heartbeats.note("saving", 12)
    with Told(tmp_path, LIMITS, 0, 3) as watch, peer(tmp_path, 1):
        with peer(tmp_path, 2):
            time.sleep(0.5)
        words, status = watch.ends()
    assert status == 137
    assert words.startswith("process 2 (")
    assert "is lost: it was saving after step 12" in words
    assert watch.has_shown_stacks


def test_one_that_ends_in_an_error_ends_the_others_with_its_words_and_status(tmp_path):
    with Told(tmp_path, LIMITS, 0, 2) as watch:
        with peer(tmp_path) as other:
            time.sleep(0.5)
        other.beat(2, "the disk is full")
        words, status = watch.ends()
    assert status == 2
    assert "the disk is full" in words
    # Another's words, which a user can mend, are not to drown in them.
    assert not watch.has_shown_stacks


def test_the_files_of_an_earlier_start_say_nothing(tmp_path):
    heartbeats.Heart(tmp_path, 1).beat(1, "the disk was full")
    heartbeats.Heart(tmp_path, 0).beat(0)
    for file in tmp_path.iterdir():
        # Long before this process was started.
        os.utime(file, (1e9, 1e9))
    with Told(tmp_path, LIMITS, 0, 2) as watch:
        assert watch.missing() == "; no sign of life from process 1"
        words, _ = watch.ends()
    assert "no sign of life from process 1" in words
    assert "disk" not in words
    assert not watch.has_shown_stacks


def test_one_that_ended_while_this_one_was_still_loading_its_libraries_has_told_it(tmp_path):
    heartbeats.Heart(tmp_path, 1).beat(42, "SIGTERM")
    with Told(tmp_path, dataclasses.replace(LIMITS, start_seconds=300), 0, 2) as watch:
        watch.is_meeting = True
        words, status = watch.ends()
    assert status == 42
    assert "SIGTERM" in words


def test_who_cannot_join_since_another_was_told_to_end_ends_as_that_one_does(tmp_path, monkeypatch):
    def refuse(**_):
        heartbeats.Heart(tmp_path, 1).beat(42, "SIGTERM")
        raise RuntimeError("connection reset by peer")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    with Told(tmp_path, LIMITS, 0, 2) as watch:
        with pytest.raises(hosts.HostError):
            hosts.start("127.0.0.1:1", 2, 0, limits=LIMITS, watch=watch)
        assert watch.left[1] == 42
        assert "SIGTERM" in watch.left[0]


def test_one_that_stopped_right_after_its_first_sign_is_not_waited_for_as_if_it_never_came(tmp_path):
    heartbeats.Heart(tmp_path, 1).beat()
    started = time.monotonic()
    with Told(tmp_path, dataclasses.replace(LIMITS, start_seconds=300), 0, 2) as watch:
        words, _ = watch.ends()
    assert "no sign of life from process 1" in words
    assert time.monotonic() - started < 60


def test_before_they_have_met_nobody_is_missed(tmp_path):
    with Told(tmp_path, dataclasses.replace(LIMITS, start_seconds=1), 0, 2) as watch:
        # Who waits for that judges by the same bound, and one of the two must be the first.
        watch.is_meeting = True
        time.sleep(2)
        assert not hasattr(watch, "left")
        watch.is_meeting = False
        words, _ = watch.ends()
    assert "no sign of life from process 1" in words


def test_where_all_live_and_none_moves_the_place_of_each_is_told(tmp_path):
    limits = dataclasses.replace(LIMITS, step_seconds=1)
    heartbeats.note("stepping", 7)
    with Told(tmp_path, limits, 0, 2) as watch, peer(tmp_path):
        words, status = watch.ends()
    assert status == 1
    assert "process 0 is stepping after step 7" in words
    assert "hosts.step_seconds" in words
    assert "process 1 (" in words
    assert "alive, stepping after step 7" in words


def test_one_that_is_started_anew_alone_ends_the_run(tmp_path):
    with Told(tmp_path, LIMITS, 0, 2) as watch:
        for _ in range(2):
            with peer(tmp_path):
                time.sleep(0.5)
        words, _ = watch.ends()
    assert "was started anew" in words


def test_a_second_run_is_refused_while_the_first_is_there_and_not_after(tmp_path):
    folder = tmp_path / "heartbeats"
    with Told(folder, LIMITS), pytest.raises(LiveError, match=f"{tmp_path} is in use by process 0"):
        Told(folder, LIMITS)
    with pytest.raises(Preempted), Told(folder, LIMITS):
        raise Preempted("saved")
    found = heartbeats.read(heartbeats.path(folder, 0))
    assert found is not None and found.status == 0
    # Killed: no status, and no process that was born then.
    gone = dataclasses.replace(found, status=None, born="1")
    assert gone.is_gone() and not gone.is_there()
    heartbeats.path(folder, 0).write_text(json.dumps(dataclasses.asdict(gone)))
    with Told(folder, LIMITS):
        pass


def test_of_two_that_start_at_once_one_ends(tmp_path):
    with Told(tmp_path, LIMITS) as watch:
        heartbeats.Heart(tmp_path, 0).beat()
        words, status = watch.ends()
    assert status == 1
    assert "another run has started" in words


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_of_two_that_start_in_the_same_moment_one_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_lib, "_refuse_live", lambda *_: None)

    class Leaves(Told):
        """And does not come back from there."""

        def leave(self, words: str, status: int, *, stacks: bool = False) -> None:
            super().leave(words, status, stacks=stacks)
            self._end(status, words)
            sys.exit(status)

    with Leaves(tmp_path, LIMITS) as first, Leaves(tmp_path, LIMITS) as second:
        time.sleep(20 * first._seconds)
        left = [watch for watch in (first, second) if hasattr(watch, "left")]
        assert [watch.left for watch in left] == [
            ("another run has started in the same work directory: this one ends", 1)
        ]
        assert heartbeats.read(heartbeats.path(tmp_path, 0)).status is None
