"""Weights that PyTorch saved, as arrays, without PyTorch and without unpickling (see torch_pickle.py)."""

import contextlib
import math
import mmap
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dfjax.weights.torch_pickle import BFLOAT16, Bytes, Machine, Storage, Tensor

Arrays = dict[str, np.ndarray]

LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # A pickle of the number 0x1950a86a20f9469cfc6c.
ZIP_START = b"PK\x03\x04"
_LEGACY_VERSION = 1001
# How often tensors may share what is stored: tied weights do so twice.
_MAX_SHARED = 4
# Where training scripts keep the weights among other things.
_INNER = ("state_dict", "model_state_dict", "model")


def read(path: Path) -> Arrays:
    """The arrays of a dict saved by ``torch.save``, by name: of PyTorch 1.6 or newer, a zip, or the form before that.

    They are read-only views of what is stored. bfloat16 becomes float32.

    Raises:
      ValueError: there is anything else than arrays in it, or it is damaged; the text names what was met.
      OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file, contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as whole:
            is_zip = whole[: len(ZIP_START)] == ZIP_START
            tensors, stored = _read_zip(file, len(whole)) if is_zip else _read_legacy(whole)
    except (zipfile.BadZipFile, RuntimeError, EOFError, struct.error) as error:
        raise ValueError(f"it is damaged ({error})") from error
    size, held = (
        sum(sizes)
        for sizes in ((math.prod(t.shape) * _width(t.storage) for t in tensors.values()), map(len, stored.values()))
    )
    if size > _MAX_SHARED * held:
        raise ValueError(f"its tensors would fill {size} bytes, and {held} are stored")
    return {name: _array(name, tensor, stored[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_legacy(whole: mmap.mmap) -> tuple[dict[str, Tensor], dict[str, bytes]]:
    """Tensors, and storages by key, of the form before PyTorch 1.6: five pickles, then the storages in turn."""
    if whole.read(len(LEGACY_START)) != LEGACY_START:
        raise ValueError("it is no file of PyTorch's")
    version, system, described, keys = (Machine(whole) for _ in range(4))
    if version.value != _LEGACY_VERSION or not isinstance(system.value, dict):
        raise ValueError("it is of a version that is not known; save it anew with PyTorch 1.6 or newer")
    if system.value.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian; only little-endian ones are read")
    tensors = _state(described.value)
    if not isinstance(keys.value, list) or {str(key) for key in keys.value if type(key) is str} != set(
        described.storages
    ):
        raise ValueError("its list of storages is damaged")
    stored = {}
    for key in keys.value:
        storage = described.storages[key]
        (count,) = struct.unpack("<q", whole.read(8))
        stored[key] = whole.read(storage.length * _width(storage))
        if count != storage.length or len(stored[key]) != count * _width(storage):
            raise ValueError(f"it is cut short or damaged at storage {key!r}")
    return tensors, stored


def _read_zip(file: Any, size: int) -> tuple[dict[str, Tensor], dict[str, bytes]]:
    """Tensors, and storages by key, of PyTorch 1.6 and newer: an archive of ``data.pkl`` and ``data/KEY``."""
    archive = zipfile.ZipFile(file)
    root = _checked_root(archive.infolist(), size)
    names = set(archive.namelist())
    if f"{root}/constants.pkl" in names:
        raise ValueError("it is a TorchScript program; save its `state_dict()` instead")
    if f"{root}/data.pkl" not in names:
        raise ValueError("it is an archive without `data.pkl`, and so none of PyTorch's")
    if f"{root}/byteorder" in names and archive.read(f"{root}/byteorder") != b"little":
        raise ValueError("its numbers are big-endian; only little-endian ones are read")
    described = Machine(Bytes(archive.read(f"{root}/data.pkl")))
    stored = {}
    for key, storage in described.storages.items():
        name = f"{root}/data/{key}"
        if name not in names or archive.getinfo(name).file_size != storage.length * _width(storage):
            raise ValueError(f"storage {key!r} is missing, or is not of {storage.length} numbers")
        stored[key] = archive.read(name)
    return _state(described.value), stored


def _checked_root(entries: list[zipfile.ZipInfo], size: int) -> str:
    """The folder that all is in. Raises ValueError for what PyTorch would not write: a bomb, ways out, names twice."""
    names = [entry.filename for entry in entries]
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise ValueError("what is in it is compressed, which PyTorch's files are not")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries lie over each other")
    outside = [name for name in names if name.startswith("/") or "\\" in name or ".." in name.split("/")]
    roots = {name.partition("/")[0] for name in names}
    if outside or len(roots) != 1 or len(set(names)) != len(names):
        raise ValueError(f"it is an archive, but none of PyTorch's: in it are {(outside or names)[:3]}")
    return roots.pop()


def _state(described: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie in a dict beside other things."""
    for inner in _INNER:
        if isinstance(described, dict) and isinstance(described.get(inner), dict):
            described = described[inner]
    if not isinstance(described, dict):
        raise ValueError(f"there is a {type(described).__name__} in it, and no dict of tensors")
    tensors = {str(name): value for name, value in described.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"there are no tensors in it, but {sorted(map(str, described))[:5]}")
    return tensors


def _width(storage: Storage) -> int:
    """Bytes of a number."""
    return 2 if storage.dtype == BFLOAT16 else np.dtype(storage.dtype).itemsize


def _array(name: str, tensor: Tensor, data: bytes) -> np.ndarray:
    """A tensor's numbers. Raises ValueError if it reaches beyond its storage, or has more numbers than that."""
    count, stored = math.prod(tensor.shape), tensor.storage.length
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    if count and (last >= stored or count > stored):
        raise ValueError(
            f"{name}: the shape {tensor.shape} with strides {tensor.strides} from {tensor.offset} on does not fit into "
            f"its storage of {stored} numbers"
        )
    brief = tensor.storage.dtype == BFLOAT16
    numbers = np.frombuffer(data, "<u2" if brief else tensor.storage.dtype)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    start = numbers[tensor.offset if count else 0 :]
    view = (
        np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
        if count
        else start[:0].reshape(tensor.shape)
    )
    return (view.astype("<u4") << 16).view("<f4") if brief else view
