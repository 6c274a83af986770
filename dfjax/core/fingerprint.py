"""Arrays on disk under a hash of what they are of: safetensors files, whole or not there, that run nothing."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from dfjax.core import storage

_log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 in hexadecimal of arrays and their names, types and shapes, whatever their order."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def short(*parts: Any) -> str:
    """Twelve hexadecimal digits of what JSON can say, such as the settings that figures depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def load(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a file, memory-mapped, and what is said with them.

    Raises:
      OSError: it cannot be read. ValueError: it is no such file, or has types that NumPy has not.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it has numbers of a type that is not read ({error}); convert it to float32") from error


def save(path: Path, arrays: Mapping[str, np.ndarray], said: Mapping[str, str] | None = None) -> None:
    """Write a file, and its folder, in one rename; several processes may write the same one. Raises OSError."""
    # safetensors 0.8 writes the memory of an array that is transposed or strided as it lies, silently.
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.replace(path, safetensors_numpy.save(whole, dict(said) if said else None), shared=True)


def keep(path: Path, arrays: Mapping[str, np.ndarray], what: str, said: Mapping[str, str] | None = None) -> None:
    """As :func:`save`, for what can be made again: a warning, which calls it ``what``, where it cannot be kept."""
    try:
        save(path, arrays, said)
    except OSError as error:
        _log.warning("%s will have to be made again, since nothing can be kept: %s", what, error)
