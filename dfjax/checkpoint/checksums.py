"""Checksums of the files of one checkpoint: ``SHA256SUMS`` in its folder, which `sha256sum -c` reads too.

The file is written before the checkpoint gets its name, so that what has a name has checksums. Not covered are the two
files that Orbax writes after it as it commits: they have dates in them, and no data.
"""

import concurrent.futures
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from dfjax.core import storage

NAME = "SHA256SUMS"
_UNCOVERED = frozenset((NAME, "_CHECKPOINT_METADATA", "commit_success.txt"))
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_BLOCK = 1 << 20
_THREADS = 4


@dataclasses.dataclass(frozen=True)
class Fault:
    """A file (its path below the checkpoint), and what is wrong: ``damaged``, ``missing`` or ``extra``."""

    file: str
    what: str


def write(folder: Path) -> None:
    """Write the checksums of all that is in ``folder``. Raises OSError."""
    names = sorted(_files(folder))
    lines = [f"{digest}  {name}\n" for name, digest in zip(names, _digests(folder, names), strict=True)]
    storage.replace(folder / NAME, "".join(lines).encode())


def exist(folder: Path) -> bool:
    """Whether a checkpoint has checksums: those of earlier versions have none."""
    return (folder / NAME).is_file()


def faults(folder: Path, below: Iterable[str] = (), share: tuple[int, int] = (0, 1)) -> list[Fault]:
    """Read the files again and say which are not as they were saved, by name.

    Args:
      below: look only at these folders in it; by default at everything.
      share: (i, n) reads the i-th of n shares of the files, so that n processes read each once.

    Raises:
      OSError: ``folder`` or its checksums cannot be read.
    """
    wanted, wrong = _read(folder)
    present = _files(folder)
    first, stride = share
    chosen = [name for name in sorted(wanted.keys() | present) if _is_below(name, below)][first::stride]
    there = [name for name in chosen if name in wanted and name in present and not (folder / name).is_symlink()]
    digests = dict(zip(there, _digests(folder, there), strict=True))
    for name in chosen:
        if name not in present:
            wrong.append(Fault(name, "missing"))
        elif name not in wanted:
            wrong.append(Fault(name, "extra"))
        elif digests.get(name) != wanted[name]:
            wrong.append(Fault(name, "damaged"))
    return wrong


def _read(folder: Path) -> tuple[dict[str, str], list[Fault]]:
    """Digests by name, and the fault of the file itself where a line is none of ours."""
    lines = (folder / NAME).read_bytes().decode("utf-8", "replace").splitlines()
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    wanted = {match[2]: match[1] for match in found}
    return wanted, [] if len(wanted) == len(lines) > 0 else [Fault(NAME, "damaged")]


def _files(folder: Path) -> set[str]:
    """Files by their path below ``folder``. A link counts as a file, and is not followed: it may lead anywhere."""
    found: set[str] = set()
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        found.update(os.path.relpath(os.path.join(where, name), folder) for name in [*files, *links])
    return found - _UNCOVERED


def _digests(folder: Path, names: list[str]) -> list[str]:
    # Hashing lets go of the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda name: _digest(folder / name), names))


def _digest(path: Path) -> str:
    """The SHA-256 of a file; empty for one that cannot be read."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                sha.update(block)
    except OSError:
        return ""
    return sha.hexdigest()


def _is_below(name: str, folders: Iterable[str]) -> bool:
    return not folders or name.split("/")[0] in folders
