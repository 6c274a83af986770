"""What one of pytest-xdist's processes has made, the others use."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


def folder(tmp_path_factory, name: str) -> pathlib.Path:
    """A folder of this name that all processes of the test run see."""
    base = tmp_path_factory.getbasetemp()
    # Each of several has a folder of its own, side by side.
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    made.mkdir(exist_ok=True)
    return made


@contextlib.contextmanager
def alone(folder: pathlib.Path) -> Iterator[None]:
    """One process at a time is here; those that come later find what the first one made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
