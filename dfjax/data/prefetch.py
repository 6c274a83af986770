"""An iterator that is worked ahead in the background."""

import queue
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from dfjax.data.errors import WorkerError

S = TypeVar("S")
T = TypeVar("T")

_AHEAD = 2
_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 30.0


class Prefetch(Generic[T]):
    """``map(finish, items)``, with two results ready before they are asked for.

    An exception of either comes out of :meth:`__next__`, in its place and with its traceback. A context manager; after
    :meth:`close`, or an exception, iteration is over. ``items`` is closed too if it can be.
    """

    def __init__(self, items: Iterator[S], finish: Callable[[S], T]):
        self._items = items
        self._ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=_AHEAD)
        self._stop = threading.Event()
        # A daemon, so that a program that forgets to close it can still end.
        self._thread = threading.Thread(
            target=_work, args=(items, finish, self._ready, self._stop), name="dfjax-prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> "Prefetch[T]":
        return self

    def __next__(self) -> T:
        while not self._stop.is_set():
            try:
                result, error = self._ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._thread.is_alive():
                    continue
                self.close()
                raise RuntimeError("the input pipeline's thread is gone without a word") from None
            if error is None:
                return result
            self.close()
            if found := re.search(r"exit code (-?\d+)", str(error)):
                raise WorkerError(
                    f"a process that decodes pictures was killed (exit code {found[1]}), by a lack of memory perhaps: "
                    "the same command goes on from the newest checkpoint; --config.data.workers sets how many there are"
                ) from error
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop working ahead and end the workers. May be called more than once."""
        self._stop.set()
        self._thread.join(_CLOSE_SECONDS)
        close = getattr(self._items, "close", None)
        if close is not None and not self._thread.is_alive():
            close()
        while not self._ready.empty():
            self._ready.get_nowait()

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _work(items: Iterator[S], finish: Callable[[S], Any], ready: queue.Queue, stop: threading.Event) -> None:
    def give(result: Any, error: BaseException | None) -> None:
        while not stop.is_set():
            try:
                ready.put((result, error), timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue

    try:
        while not stop.is_set():
            give(finish(next(items)), None)
    except BaseException as error:
        give(None, error)
