"""A run that is told to end: all hosts agree on a step, save it, and leave.

One SIGTERM or SIGINT, to any process of a run, is the request. The agreement is that of JAX's preemption service, made
anew on the same key-value store: JAX's takes the signal's handler, so that a second signal says nothing, and Orbax
calls it in the background with steps that are over, after which the agreed step may be one that nobody meets.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import jax

from dfjax.core import streams
from dfjax.core.errors import PREEMPTED

_log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_SECONDS = 0.5
# Launchers signal a whole group, and then each of it.
_SAME_REQUEST_SECONDS = 1.0
_NOTICE, _PLACES = "dfjax/preemption/notice/", "dfjax/preemption/places/"


def _leave(words: str, status: int, **_) -> None:
    streams.say(f"dfjax: {words}")
    os._exit(status)


class Preemption:
    """Whether this run is to end, on which all processes give the same answer at the same step."""

    def __init__(self, seconds: float = 0.0):
        """``seconds``: the longest from the request to the end."""
        self._seconds = seconds
        # Ends the process at once, with these words and this status; a watch also tells the other processes.
        self.leave: Callable[..., None] = _leave
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._bound: threading.Timer | None = None
        self._agreeing: threading.Thread | None = None
        self._closed = threading.Event()
        self._has_begun = self._is_over = self._listens = False
        self._step = self._again = 0
        self._stop_at: int | None = None

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT, for the rest of the process. Call in the main thread, before JAX is started.

        They are noticed at once, whatever the main thread is at, a compilation too. Before the first step nothing is
        to be saved: the process leaves with status 42. A second one ends it with 128 and the signal's number.
        """
        # JAX would set a handler of its own.
        jax.config.update("jax_enable_preemption_service", False)
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._listens = True
        threading.Thread(target=self._hear, args=[reader], name="dfjax-signals", daemon=True).start()

    def begin(self, step: int) -> None:
        """From here on there is something to save: the first step after ``step`` begins."""
        with self._lock:
            self._has_begun, self._step = True, step
        if jax.process_count() > 1:
            self._agreeing = threading.Thread(target=self._agree, name="dfjax-preemption", daemon=True)
            self._agreeing.start()

    def ask(self, reason: str) -> None:
        """Ask all processes to save and to end, as a signal does."""
        with self._asking:
            if self._is_over:
                return
            _log.warning("%s: this run saves and ends", reason)
            self._start_bound()
            if jax.process_count() > 1:
                with contextlib.suppress(jax.errors.JaxRuntimeError):
                    _store().key_value_set(_NOTICE + "asked", "", allow_overwrite=True)
            else:
                self._stop_at = self._step

    def reached(self, step: int) -> bool:
        """Whether to save after ``step`` and to end. Every process calls this after each step."""
        # Waits while an agreement is being made, so that no process passes the step that comes of it.
        with self._lock:
            self._step = step = step + self._again
            return self._stop_at is not None and step >= self._stop_at

    def went_back(self, steps: int) -> None:
        """The run takes its last ``steps`` steps again: an agreed step comes no later for that."""
        with self._lock:
            self._again += steps

    def close(self, seconds: float) -> None:
        """The run is at its end: a request changes nothing any more. Waits up to ``seconds`` for the other processes.

        A thread that is in JAX's store when Python ends would abort the process.
        """
        with self._asking:
            self._is_over = True
        if self._agreeing is not None:
            # From here on nobody can ask, so that all have the same answer on whether somebody did.
            _store().wait_at_barrier("dfjax/end", int(1000 * seconds))
            self._closed.set()
            self._agreeing.join()
        if self._bound is not None:
            self._bound.cancel()
        if self._listens:
            # To the very end: Python takes its handlers away before it is gone, but not this.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def _hear(self, reader: socket.socket) -> None:
        first = 0.0
        while True:
            number = reader.recv(1)[0]
            if number not in SIGNALS:
                continue
            name, now = signal.Signals(number).name, time.monotonic()
            if not first:
                first = now
                with self._lock:
                    has_begun = self._has_begun
                if not has_begun and not self._is_over:
                    self.leave(
                        f"{name} before the first step: nothing to save, the same command starts again", PREEMPTED
                    )
                self.ask(name)
            elif now - first > _SAME_REQUEST_SECONDS:
                self.leave(f"{name} a second time: this run ends unsaved", 128 + number)

    def _start_bound(self) -> None:
        if self._bound is not None:
            return
        words = (
            f"not saved and ended within hosts.preemption_seconds={self._seconds:g}: this run ends where it is; "
            "it goes on from the newest checkpoint"
        )
        self._bound = threading.Timer(self._seconds, self.leave, [words, 128 + signal.SIGTERM], {"stacks": True})
        self._bound.daemon = True
        self._bound.start()

    def _agree(self) -> None:
        """Wait until any process is asked; then agree on the step after the last that any process has reached."""
        store = _store()
        try:
            while not self._closed.wait(_POLL_SECONDS) and not store.key_value_dir_get(_NOTICE):
                pass
            if not store.key_value_dir_get(_NOTICE):
                return
            self._start_bound()
            with self._lock:
                store.key_value_set(f"{_PLACES}{jax.process_index()}", str(self._step))
                store.wait_at_barrier("dfjax/preemption", int(1000 * self._seconds) + 1000)
                self._stop_at = max(int(step) for _, step in store.key_value_dir_get(_PLACES)) + 1
            _log.info("all processes save and end after step %d", self._stop_at - self._again)
        except jax.errors.JaxRuntimeError as error:
            # Somebody is missing or gone, which the watch tells.
            _log.debug("no agreement on a step to end at", exc_info=error)


def _store():
    """The key-value store that all processes of a run share; Orbax reaches for it in the same way."""
    from jax._src import distributed

    return distributed.global_state.client
