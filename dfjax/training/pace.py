"""How far the program runs ahead of the devices, and how long the steps take."""

import collections
import logging
import statistics
import time
from typing import Any

import jax

_log = logging.getLogger(__name__)

# Enough that the devices never wait for the program. No more, or a run that is told to end had many steps to do still.
_AHEAD = 2
_REMEMBERED = 101
_FEWEST = 10
# Below it, a step that takes long says more of the machine's other work than of itself.
_LEAST_SECONDS = 1.0


class Pace:
    """Keeps the program two steps ahead of the devices at most, and notes steps that take unusually long."""

    def __init__(self, slow: float):
        """``slow``: a step that takes so many times the median of the last hundred is a slow one; 0: none is."""
        self._slow = slow
        self._running: collections.deque[tuple[int, Any]] = collections.deque()
        self._seconds: collections.deque[float] = collections.deque(maxlen=_REMEMBERED)
        self._lap = time.monotonic()
        self.slow_steps = 0

    def started(self, step: int, result: Any) -> str:
        """A step was started, whose ``result`` is on its way. Waits for an earlier one; words if that was slow."""
        self._running.append((step, result))
        if len(self._running) <= _AHEAD:
            return ""
        step, result = self._running.popleft()
        jax.block_until_ready(result)
        now = time.monotonic()
        words = self._judge(step, now - self._lap)
        self._lap = now
        return words

    def rest(self) -> None:
        """Something else than steps was done until now."""
        self._lap = time.monotonic()

    def _judge(self, step: int, seconds: float) -> str:
        usual = statistics.median(self._seconds) if len(self._seconds) >= _FEWEST else 0.0
        self._seconds.append(seconds)
        if not self._slow or not usual or seconds < max(_LEAST_SECONDS, self._slow * usual):
            return ""
        self.slow_steps += 1
        words = f"step {step} took {seconds:.1f} s, {seconds / usual:.0f} times the usual {usual:.2g} s"
        _log.warning("%s", words)
        return words
