"""Reads the text of a compiled XLA program (``compiled.as_text()``) into computations and instructions.

The text is a header line, then computations: a line ``%name (parameters) -> shape {`` (``ENTRY`` before the main
one), one instruction a line, and ``}``. An instruction is ``%name = shape opcode(%operand, ...), attribute=value,
...``, and is executed as often as its computation is called: by a ``while`` (body, condition), ``fusion``, ``call``,
``async-start`` or ``conditional``. Operands are printed without their shapes. Shapes carry a layout behind the
dimensions (``bf16[8,128]{1,0:T(8,128)(2,1)S(1)}``) whose tiles say how the array lies in memory; bytes here are those
of dimensions and type alone. Sources: https://openxla.org/xla/operation_semantics, and texts of libtpu 0.0.42 and
0.0.48.
"""

import dataclasses
import functools
import math
import re

from dfjax.core import errors

_ARRAY = re.compile(r"([a-z][a-z0-9]*)\[([\d,<=]*)\]")
_NAME = re.compile(r"%([^\s,(){}]+)")
_HEADER = re.compile(r"(ENTRY )?%(\S+) \(.*\{\s*$")
_ASSIGNMENT = re.compile(r"\s+(?:ROOT )?%(\S+) = ")
_PARENTHESIS = re.compile(r"[()]")


class ProgramError(errors.DfjaxError):
    """A compiled program holds something that its reader does not understand; a number would be a guess."""


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a shape: its type's name in the text (``bf16``), its dimensions and the bytes of its elements."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.ceil(math.prod(self.dims) * _bits(self.dtype) / 8)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line. ``literal`` is what stands between the parentheses, ``attributes`` what stands behind them."""

    name: str
    shape: str
    opcode: str
    literal: str
    attributes: str

    @functools.cached_property
    def operands(self) -> tuple[str, ...]:
        return tuple(_NAME.findall(self.literal))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of the result, a tuple's one after another."""
        return arrays(self.shape)

    @property
    def op_name(self) -> str:
        """Where it comes from in the traced function, like ``jit(step)/while/body/dot_general``; or its own name."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else self.name

    def called(self, attribute: str) -> tuple[str, ...]:
        """The computations that an attribute names: ``body=%name`` or ``branch_computations={%a, %b}``."""
        found = re.search(rf"\b{attribute}=(%[^\s,}}]+|\{{[^}}]*\}})", self.attributes)
        return tuple(_NAME.findall(found[1])) if found else ()


@dataclasses.dataclass(frozen=True)
class Computation:
    """Instructions by name, in the order of the text, which in a compiled program is that of their start."""

    name: str
    instructions: dict[str, Instruction]
    root: str

    def users(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions.values() if name in instruction.operands]


@dataclasses.dataclass(frozen=True)
class Module:
    """A program: its computations by name, the one that is run, and for how many partitions (devices) it is."""

    computations: dict[str, Computation]
    entry: str
    num_partitions: int


def arrays(shape: str) -> tuple[Array, ...]:
    """The arrays that a printed shape names, a tuple's one after another; tokens have no bytes and are left out."""
    return tuple(
        Array(dtype, tuple(int(dim.lstrip("<=")) for dim in dims.split(",") if dim))
        for dtype, dims in _ARRAY.findall(shape)
        if dtype != "token"
    )


def parse(text: str) -> Module:
    """The program in a text.

    Raises:
      ProgramError: if it has no entry, or is for replicas (``pmap``) rather than partitions.
    """
    header = text.partition("\n")[0]
    if re.search(r"replica_count=(?!1\b)\d", header):
        raise ProgramError("this program is for several replicas (pmap); compile with jax.jit and shardings instead")
    computations: dict[str, Computation] = {}
    entry, name, root, instructions = "", "", "", dict[str, Instruction]()
    for line in text.splitlines():
        # Not any line that starts so: what a Pallas kernel is annotated with goes over several.
        if line.rstrip() == "}" and name:
            computations[name] = Computation(name, instructions, root)
            name = ""
        elif name and (found := _ASSIGNMENT.match(line)):
            instructions[found[1]] = _instruction(found[1], line[found.end() :])
            root = found[1] if line.lstrip().startswith("ROOT ") else root
        elif found := _HEADER.match(line):
            name, root, instructions = found[2], "", {}
            entry = name if found[1] else entry
    if not entry:
        raise ProgramError("this text has no ENTRY computation; it must be that of compiled.as_text()")
    partitions = re.search(r"num_partitions=(\d+)", header)
    return Module(computations, entry, int(partitions[1]) if partitions else 1)


def _instruction(name: str, text: str) -> Instruction:
    shape_end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    start = text.index("(", shape_end)
    end = _closing(text, start)
    return Instruction(
        name, text[:shape_end], text[shape_end:start].strip(), text[start + 1 : end - 1], text[end:].lstrip(", ")
    )


def _closing(text: str, start: int) -> int:
    """The index behind the parenthesis that closes the one at ``start``."""
    depth = 0
    for found in _PARENTHESIS.finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.end()
    raise ProgramError(f"a line of the program has no end: {text[:80]!r}")


@functools.cache
def _bits(dtype: str) -> int:
    """``bf16`` is 16, ``f8e4m3fn`` 8, ``s4`` 4."""
    if dtype == "pred":
        return 8
    if found := re.match(r"[a-z]+(\d+)", dtype):
        return int(found[1])
    raise ProgramError(f"the program has an array of a type unknown here: {dtype}")
