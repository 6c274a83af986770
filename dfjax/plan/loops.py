"""How often each part of a compiled program is executed: the trip counts of its loops.

On CPU and GPU a loop's ``known_trip_count`` is in the text; on TPU it is not. A ``lax.scan`` however becomes a
``while`` that counts an integer in its state up to a constant, and so does the ring of a collective matmul. So the
loop is run here, with nothing but those integers: start, increment and bound are followed through tuples, copies,
fusions and the state of outer loops. What depends on data stays unknown.
"""

import dataclasses
import operator
import re
from collections.abc import Callable, Iterator

from dfjax.plan import hlo

Path = tuple[int, ...]  # of an element in a tuple, in a tuple of tuples
Value = int | Path | None  # a known integer; a stand-in for an element, in _is_invariant; or unknown
Parameters = Callable[[int, Path], Value]

_MOST_TRIPS = 100_000
_SAME = {"bitcast", "convert", "copy", "opt-barrier", "reshape"}
_BINARY: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "minimum": min,
    "maximum": max,
    "and": operator.and_,
    "or": operator.or_,
}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
    "EQ": operator.eq,
    "NE": operator.ne,
}


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop: its name in the text, where it comes from, how many loops are around it, and its trips if known."""

    name: str
    op_name: str
    depth: int
    trips: int | None


@dataclasses.dataclass(frozen=True)
class Scope:
    """A computation at one place where it is called: ``parameters`` tells what is known of its parameters there."""

    module: hlo.Module
    computation: hlo.Computation
    parameters: Parameters
    depth: int = 0

    def value(self, name: str, path: Path = ()) -> Value:
        """The integer that an instruction, or the element at ``path`` of its tuple, always has; None if unknown."""
        instruction = self.computation.instructions[name]
        opcode, operands = instruction.opcode, instruction.operands
        if opcode == "parameter":
            return self.parameters(int(instruction.literal), path)
        if opcode == "constant":
            return _constant(instruction.literal)
        if opcode == "get-tuple-element":
            return self.value(operands[0], (_index(instruction), *path))
        if opcode == "tuple":
            return self.value(operands[path[0]], path[1:]) if path else None
        if opcode in _SAME:
            return self.value(operands[0], path)
        if opcode == "copy-done":
            return self.value(self.computation.instructions[operands[0]].operands[0], path)
        if opcode in ("fusion", "call"):
            inner = self.inside(instruction)
            return inner.value(inner.computation.root, path)
        if opcode == "while":
            return self.value(operands[0], path) if _is_invariant(self, instruction, path) else None
        return _calculate(instruction, [self.value(operand) for operand in operands])

    def inside(self, instruction: hlo.Instruction) -> "Scope":
        """The computation that a fusion, call or async-start runs once."""
        (name,) = instruction.called("calls") or instruction.called("to_apply")
        return self.enter(name, lambda number, path: self.value(instruction.operands[number], path))

    def body(self, loop: hlo.Instruction) -> "Scope":
        """The body of a ``while``, at any of its trips: known is what no trip changes."""

        def parameters(_: int, path: Path) -> Value:
            return self.value(loop.operands[0], path) if _is_invariant(self, loop, path) else None

        return self.enter(loop.called("body")[0], parameters, deeper=1)

    def branches(self, conditional: hlo.Instruction) -> list["Scope"]:
        """The computations of which a ``conditional`` runs one; each has its own operand, behind the predicate."""
        names = conditional.called("branch_computations")
        names = names or conditional.called("true_computation") + conditional.called("false_computation")

        def handed(operand: str) -> Parameters:
            return lambda _, path: self.value(operand, path)

        operands = conditional.operands[1:]
        return [self.enter(name, handed(operand)) for name, operand in zip(names, operands, strict=True)]

    def enter(self, name: str, parameters: Parameters, deeper: int = 0) -> "Scope":
        return Scope(self.module, self.module.computations[name], parameters, self.depth + deeper)


def whole(module: hlo.Module) -> Scope:
    """The scope of the program's entry, of whose arguments nothing is known."""
    return Scope(module, module.computations[module.entry], lambda number, path: None)


def loop(scope: Scope, instruction: hlo.Instruction) -> Loop:
    """What is known of a ``while`` instruction of a scope."""
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', instruction.attributes)
    trips = int(known[1]) if known else _run(scope, instruction)
    return Loop(instruction.name, instruction.op_name, scope.depth, trips)


def loops(text: str) -> list[Loop]:
    """Every loop of a compiled program, in order of execution, an outer one before those in it."""
    return list(_loops(whole(hlo.parse(text))))


def _loops(scope: Scope) -> Iterator[Loop]:
    for instruction in scope.computation.instructions.values():
        if instruction.opcode == "while":
            yield loop(scope, instruction)
            yield from _loops(scope.body(instruction))
        elif instruction.opcode in ("call", "async-start"):
            yield from _loops(scope.inside(instruction))
        elif instruction.opcode == "conditional":
            for branch in scope.branches(instruction):
                yield from _loops(branch)


def _run(scope: Scope, instruction: hlo.Instruction) -> int | None:
    """Counts the trips with the integers that the condition needs; None if it needs others, or does not end."""
    (condition,), (body,) = instruction.called("condition"), instruction.called("body")
    state: Parameters = lambda number, path: scope.value(instruction.operands[0], path)  # noqa: E731
    for trip in range(_MOST_TRIPS):
        state = _remembered(state)
        again = scope.enter(condition, state)
        match again.value(again.computation.root):
            case int(more):
                if not more:
                    return trip
            case _:
                return None
        state = _after(scope.enter(body, state))
    return None


def _remembered(parameters: Parameters) -> Parameters:
    """The same, asking for each element once; without it every trip would be calculated from the first one on."""
    known: dict[Path, Value] = {}

    def remembered(number: int, path: Path) -> Value:
        if path not in known:
            known[path] = parameters(number, path)
        return known[path]

    return remembered


def _after(body: Scope) -> Parameters:
    return lambda number, path: body.value(body.computation.root, path)


def _is_invariant(scope: Scope, instruction: hlo.Instruction, path: Path) -> bool:
    """Whether a loop hands on the element of its state at ``path`` as it got it."""
    body = scope.enter(instruction.called("body")[0], lambda number, path: path)
    return body.value(body.computation.root, path) == path


def _calculate(instruction: hlo.Instruction, values: list[Value]) -> int | None:
    integers = [value for value in values if isinstance(value, int)]
    if len(integers) != len(values):
        return None
    if instruction.opcode in _BINARY:
        return _BINARY[instruction.opcode](*integers)
    if instruction.opcode == "compare" and (found := re.search(r"direction=(\w\w)", instruction.attributes)):
        return int(_COMPARISONS[found[1]](*integers))
    if instruction.opcode == "select":
        return integers[1] if integers[0] else integers[2]
    return None


def _constant(literal: str) -> int | None:
    """The one integer or truth value of a constant; arrays of one element count."""
    text = literal.strip("{} ")
    if text in ("true", "false"):
        return int(text == "true")
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _index(instruction: hlo.Instruction) -> int:
    found = re.search(r"\bindex=(\d+)", instruction.attributes)
    if found is None:
        raise hlo.ProgramError(f"{instruction.name} has no index")
    return int(found[1])
