"""Files as ``torch.save`` writes them, and as nobody should, made without PyTorch."""

import io
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

PROTO, STOP = b"\x80\x02", b"."


class Name(NamedTuple):
    """Something that a pickle imports."""

    module: str
    name: str


class Call(NamedTuple):
    function: Name
    arguments: tuple


class Stored(NamedTuple):
    """What ``persistent_id`` was asked for."""

    described: tuple


class Raw(NamedTuple):
    """Instructions as they are."""

    instructions: bytes


def says(value: Any) -> bytes:
    """Instructions of a pickle, without its begin and end, that put a value on the stack."""
    match value:
        case Raw(instructions):
            return instructions
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return says(function) + says(tuple(arguments)) + b"R"
        case Stored(described):
            return says(tuple(described)) + b"Q"
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(says, value)) + b"t"
        case list():
            return b"](" + b"".join(map(says, value)) + b"e"
        case dict():
            return b"}(" + b"".join(says(key) + says(each) for key, each in value.items()) + b"u"
    raise TypeError(value)


def pickled(value: Any) -> bytes:
    return PROTO + says(value) + STOP


def tensor(
    key: str, count: int, shape: tuple, strides: tuple, *, offset: int = 0, kind: str = "FloatStorage", view: Any = ()
) -> Call:
    """What a pickle says of a tensor that lies in the storage ``key`` of ``count`` numbers."""
    storage = Stored(("storage", Name("torch", kind), key, "cpu", count, *view))
    hooks = Call(Name("collections", "OrderedDict"), ())
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, hooks))


def new(value: Any, storages: dict[str, np.ndarray], root: str = "archive", **options: Any) -> bytes:
    """A file of PyTorch 1.6 or newer."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr(f"{root}/data.pkl", pickled(value))
        archive.writestr(f"{root}/byteorder", b"little")
        for key, numbers in storages.items():
            archive.writestr(f"{root}/data/{key}", numbers.tobytes())
    return file.getvalue()


def old(value: Any, storages: dict[str, np.ndarray], version: int = 1001, little: bool = True) -> bytes:
    """A file of a PyTorch before 1.6."""
    system = {"protocol_version": version, "little_endian": little, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = (0x1950A86A20F9469CFC6C, version, system, value, list(storages))
    data = b"".join(map(pickled, parts))
    return data + b"".join(struct.pack("<q", numbers.size) + numbers.tobytes() for numbers in storages.values())


NUMBERS = np.arange(12, dtype=np.float32)


def good(write=new) -> bytes:
    """A right file of one matrix, ``weight``, which is [[0, 1, 2, 3], [4, ...], [8, ...]]."""
    return write({"weight": tensor("0", 12, (3, 4), (4, 1))}, {"0": NUMBERS})
