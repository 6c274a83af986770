"""An abort that is held back for a while, so that the watch can say before it who is missing.

JAX's client aborts its process, in a thread of its own, as soon as the coordination service in process 0 is out of
reach. It takes a callback instead, but not one of Python (jaxlib cannot convert the status that it would be given).
"""

import contextlib
import ctypes
import signal
import time
from collections.abc import Iterator

from dfjax.core import streams

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


@contextlib.contextmanager
def held_back(seconds: float) -> Iterator[None]:
    """Within this, a thread that aborts the process (SIGABRT) sleeps for so long first; the other threads go on.

    Then the process ends as it would have: 128 + 6, after what handled the signal before. A handler by Python's own
    ``signal.signal`` would not do: it runs later, in the main thread, and the abort goes on at once.
    """

    def wait(number: int) -> None:
        streams.say(f"Aborting, in {seconds:.0f} s: is another process the cause?")
        time.sleep(seconds)
        libc.signal(signal.SIGABRT, before)
        libc["raise"](signal.SIGABRT)

    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    handler = _Handler(wait)
    before = libc.signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        libc.signal(signal.SIGABRT, before)
