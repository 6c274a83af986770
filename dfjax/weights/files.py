"""Files of weights, as arrays: what can be in them runs nothing.

safetensors files hold nothing but arrays. PyTorch's hold a program; it is not run (see torch_pickle.py), and what it
describes is kept as safetensors in the user's cache, so that it is looked at once.
"""

import hashlib
import importlib.util
import logging
from pathlib import Path

import numpy as np

from dfjax.core import fingerprint, ownership
from dfjax.core.errors import DfjaxError
from dfjax.weights import torch_files

_log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


class WeightsError(DfjaxError):
    """Weights that are missing, damaged, or of another network; the message says what to put where."""


def read(path: Path) -> Arrays:
    """The arrays of a file, by name: safetensors, or a state dict saved by PyTorch. Its ending does not matter.

    Raises:
      WeightsError: the file is missing, damaged, of another format, or has something else than arrays in it.
    """
    try:
        if _is_torch(path):
            return torch_files.read(path)
        return fingerprint.load(path)[0]
    except FileNotFoundError as error:
        raise WeightsError(f"there is no file {path}") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{path} is no file of weights that is read here: {error}") from error


def load(name: str, path: Path) -> Arrays:
    """The arrays of a file, like :func:`read`; those of PyTorch's are kept as safetensors in the user's cache.

    The cache is a convenience: where it cannot be written, or others may write to it, it is not used.

    Args:
      name: of the network, for the name of the file in the cache, ``dfjax/weights/NAME-SHA256.safetensors``.

    Raises:
      WeightsError: as :func:`read` does.
    """
    try:
        if not _is_torch(path):
            return read(path)
        with path.open("rb") as file:
            source = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return read(path)  # Which says what is wrong.
    folder, fault = ownership.claim(
        ownership.user_cache("weights"), "figures are computed with what is in it", "choose another with XDG_CACHE_HOME"
    )
    if fault:
        _log.warning("no cache of weights: %s", fault)
        return read(path)
    cached = folder / f"{name}-{source}.safetensors"
    found = _kept(cached, source)
    if found is None:
        found = read(path)
        said = {"source": source, "arrays": fingerprint.of_arrays(found)}
        fingerprint.keep(cached, found, f"the arrays of {path.name}", said)
    return found


def in_package(package: str, pattern: str) -> Path | None:
    """The one file of an installed package that fits a pattern, such as ``models/*.pth``; the package is not run."""
    found = importlib.util.find_spec(package)
    folders = (found and found.submodule_search_locations) or []
    files = [file for folder in folders for file in Path(folder).glob(pattern)]
    return files[0] if len(files) == 1 else None


def _is_torch(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(torch_files.LEGACY_START)).startswith((torch_files.ZIP_START, torch_files.LEGACY_START))


def _kept(cached: Path, source: str) -> Arrays | None:
    """What the cache has of a source, if it is whole."""
    try:
        arrays, said = fingerprint.load(cached)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s is made anew: %s", cached, error)
        return None
    if said.get("source") != source or said.get("arrays") != fingerprint.of_arrays(arrays):
        _log.warning("%s is made anew: it is not what was written there", cached)
        return None
    return arrays
