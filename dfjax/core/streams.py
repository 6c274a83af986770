"""Last words on the standard streams, which whoever started the process may have closed, or filled the disk of."""

import contextlib
import sys


def say(words: str) -> None:
    """Write a line to stderr; where nobody can read it, do without: what is to be done next is worth more."""
    # ValueError: the stream was closed by this process itself.
    with contextlib.suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)
