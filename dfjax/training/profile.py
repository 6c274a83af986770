"""A profile of a few steps, for TensorBoard or XProf."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

_log = logging.getLogger(__name__)

# Of those that a process takes: the first ones allocate, and read what is cached later.
FIRST = 11
COUNT = 5


@contextlib.contextmanager
def steps(folder: Path | None) -> Iterator[Callable[[], None]]:
    """Yield what is called after each step: a profile of steps 11 to 15 goes to ``folder``; None records nothing.

    The calls of Python are left out: to record them JAX walks over the states of all threads, among which those of the
    storage come and go, and a process that saves at that moment can die of a segmentation fault (jaxlib 0.10.2).
    A profile that cannot be recorded is a warning.
    """
    seen, running = 0, False

    def took() -> None:
        nonlocal seen, running
        seen += 1
        if folder and seen == FIRST - 1:
            running = _told(lambda: jax.profiler.start_trace(str(folder), profiler_options=_options()))
        elif running and seen == FIRST + COUNT - 1:
            running = False
            _told(jax.profiler.stop_trace)

    try:
        yield took
    finally:
        if running:
            _told(jax.profiler.stop_trace)
        elif folder and seen < FIRST - 1:
            _log.warning("no profile was recorded: it begins at step %d, and there were %d", FIRST, seen)


def _options() -> jax.profiler.ProfileOptions:
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    return options


def _told(call: Callable[[], None]) -> bool:
    """Whether ``call`` did it. Nothing about a profile is worth a run."""
    try:
        call()
    except Exception as error:
        _log.warning("the profile could not be recorded: %s", error)
        return False
    return True
