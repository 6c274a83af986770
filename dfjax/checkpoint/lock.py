"""One writer at a time in a folder, as far as its file system can tell."""

import errno
import fcntl
import os
import time
from pathlib import Path

NAME = "writer.lock"
_POLL_SECONDS = 0.2


class Lock:
    """A lock on a folder that goes with the process that holds it, however that ends.

    It is advisory (flock), and nothing where the file system has none: then everything is taken to be free.
    """

    def __init__(self, folder: Path):
        self._path = folder / NAME
        self._file: int | None = None

    def take(self, wait_seconds: float = 0.0) -> bool:
        """Whether the folder is now this process's own to write in; waits so long for another one to end."""
        deadline = time.monotonic() + wait_seconds
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    return True
            if time.monotonic() >= deadline:
                self.leave()
                return False
            time.sleep(_POLL_SECONDS)

    def leave(self) -> None:
        """Let others write. The file stays: taking it away could free a lock that another one just took."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
