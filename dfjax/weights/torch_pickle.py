"""What PyTorch's pickles say, told without unpickling.

A pickle is a program, and one that may call anything. Here its instructions are run by a machine that knows the thirty
of them a dict of tensors needs. It puts together dicts, lists, tuples and what is said of tensors; it imports nothing
and calls nothing, since the names that a file may have stand in a table.
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

# The largest published networks need some 30,000 instructions.
_MAX_INSTRUCTIONS = 1_000_000
_MAX_DIMENSIONS = 16
BFLOAT16 = "bfloat16"
_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": BFLOAT16,
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}


class _Name(NamedTuple):
    """What a pickle would import."""

    name: str


class Storage(NamedTuple):
    """A piece of the file: ``length`` numbers of a type, under a key."""

    dtype: str
    key: str
    length: int


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Bytes:
    """Bytes to be read like a file, and like a map of one: what is asked beyond the end is not made room for."""

    def __init__(self, data: bytes):
        self._data, self._place = data, 0

    def read(self, count: int) -> bytes:
        self._place += count
        return self._data[self._place - count : self._place]

    def readline(self) -> bytes:
        end = self._data.find(b"\n", self._place) + 1 or len(self._data)
        return self.read(end - self._place)


_MARK = object()
_PUSH_ARGUMENT = {"BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "BINSTRING", "BININT", "BININT1", "BININT2"}
_PUSH_ARGUMENT |= {"LONG1", "BINFLOAT"}
_PUSH: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Machine:
    """Runs a pickle's instructions. What it made is ``value``; the storages it named are ``storages``, by key."""

    def __init__(self, file: Any):
        """Read ``file`` up to the end of its next pickle.

        Raises:
          ValueError: an instruction, or a name, that no dict of tensors needs; or it is damaged.
        """
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if number > _MAX_INSTRUCTIONS:
                    raise ValueError(f"it has more than {_MAX_INSTRUCTIONS} instructions")
                if opcode.name != "STOP":
                    self._step(opcode.name, argument)
            self.value = self._stack.pop()
        except (IndexError, KeyError, TypeError, OverflowError) as error:
            raise ValueError("what it says of its tensors is damaged") from error

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _PUSH:
            stack.append(_PUSH[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._since_mark() if name == "APPENDS" else [stack.pop()]
            _must_be(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _must_be(stack[-1], dict).update(_pairs(zip(items[::2], items[1::2], strict=True)))
        elif name == "GLOBAL":
            stack.append(_Name(argument))
        elif name == "BINPERSID":
            stack.append(self._storage(*_must_be(stack.pop(), tuple)))
        elif name == "REDUCE":
            function, arguments = _must_be(stack.pop(-2), _Name), _must_be(stack.pop(), tuple)
            stack.append(_made_by(function.name, arguments))
        elif name == "BUILD":
            stack.pop()  # Versions of the modules that the weights are of.
        elif name != "PROTO":
            raise ValueError(f"the instruction {name} has no place among weights")

    def _since_mark(self) -> list[Any]:
        start = len(self._stack) - 1
        while self._stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise IndexError("no mark")
        items = self._stack[start + 1 :]
        del self._stack[start:]
        return items

    def _storage(self, kind: Any, named: Any, key: Any, device: Any, count: Any, *view: Any) -> Storage:
        """A storage from what a pickle says of it; a view of another one is a thing of long ago, and not read."""
        name = _must_be(named, _Name).name
        if kind != "storage" or name not in _STORAGES or any(view):
            raise ValueError(f"a storage of the type {name.replace(' ', '.')} is not read")
        storage = Storage(_STORAGES[name], _must_be(key, str), _natural(count))
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {storage.key!r} is told of in two ways")
        return storage


def _must_be(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} is missing")
    return value


def _natural(number: Any) -> int:
    if not 0 <= _must_be(number, int) < 2**48:
        raise ValueError("a size or place in it cannot be")
    return number


def _pairs(items: Any) -> dict[str | int, Any]:
    # Plain keys: to hash nested tuples could take for ever.
    return {key: value for key, value in items if type(key) is int or _must_be(key, str) is key}


def _made_by(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a pickle would have the function of this name make."""
    if name == "collections OrderedDict":
        return _pairs(arguments[0]) if arguments else {}
    if name in ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"):
        storage, offset, shape, strides = arguments[:4]
        if not len(_must_be(shape, tuple)) == len(_must_be(strides, tuple)) <= _MAX_DIMENSIONS:
            raise ValueError("a tensor's shape and strides do not fit each other")
        sizes, steps = tuple(map(_natural, shape)), tuple(map(_natural, strides))
        return Tensor(_must_be(storage, Storage), _natural(offset), sizes, steps)
    if name == "torch._utils _rebuild_parameter":
        return _must_be(arguments[0], Tensor)
    raise ValueError(f"it would call {name.replace(' ', '.')}, which has no place among weights")
