"""What a file system says when it will not write, in words."""

import contextlib
import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "files may not become that large here",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "the folder may not be written",
    errno.EPERM: "the folder may not be written",
    errno.ENOTDIR: "a part of the path is a file and no folder",
    errno.EIO: "the file system failed (input/output error)",
    errno.ESTALE: "the file system failed (stale file handle)",
    errno.ETIMEDOUT: "the file system did not answer",
    errno.ECANCELED: "another process could not write its part",
}


def fault(error: BaseException) -> str:
    """What storage failed with, in words; empty where ``error`` is of another kind.

    TensorStore and TensorFlow write in C++, and raise errors that have the system's number or words in their text only.
    """
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _WORDS:
            return _WORDS[each.errno]
        if isinstance(each, TimeoutError):
            return "the file system, or another process, did not answer in time"
        if words := _words_in(str(each)):
            return words
    return ""


def free(folder: Path) -> str:
    """Space left where ``folder`` is or will be, such as ``1.5 GB``; ``an unknown space`` where nobody says."""
    try:
        while not folder.exists():
            folder = folder.parent
        return size_words(shutil.disk_usage(folder).free)
    except OSError:
        return "an unknown space"


def size_words(size: float) -> str:
    """Bytes in words, by powers of 1000: ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def replace(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write a file that is there whole or as it was: beside it first, then by a rename.

    Args:
      shared: other processes may write the same file in the same moment; each then has a part of its own.
    """
    beside = part(path)
    if shared:
        beside = beside.with_name(f"{beside.name}-{socket.gethostname()}-{os.getpid()}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        # A write that fails does not say of what.
        error.filename = str(path)
        raise


def part(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(path.name + ".part")


def _words_in(text: str) -> str:
    if found := re.search(r"os_error_code='(\d+)'", text):
        return _WORDS.get(int(found[1]), "")
    return next((words for number, words in _WORDS.items() if os.strerror(number) in text), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, those of its group, and what it came of."""
    seen = 0
    while error is not None and seen < 20:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _chain(each)
        error, seen = error.__cause__ or error.__context__, seen + 1
