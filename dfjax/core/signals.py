"""Requests to end that come while libraries are still loading: kept for whoever listens later."""

import os
import signal

from dfjax.core.errors import PREEMPTED

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_noted: list[int] = []


def note() -> None:
    """Keep a first SIGTERM or SIGINT for :func:`pass_on`; a second one ends the process at once, with status 42."""
    for number in _NUMBERS:
        signal.signal(number, _note)


def _note(number: int, _) -> None:
    if _noted:
        os._exit(PREEMPTED)
    _noted.append(number)


def pass_on() -> None:
    """Send what was noted again, to the handler that is there by now."""
    if _noted:
        os.kill(os.getpid(), _noted.pop())
