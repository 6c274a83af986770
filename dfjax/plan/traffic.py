"""The traffic between devices that one execution of a compiled program causes, read from its text.

What is counted, and what is not:

- An instruction counts as often as it is executed (``loops.py``). That its ``channel_id`` occurs again means nothing:
  different collectives share one.
- An asynchronous collective counts at its start. libtpu also splits one over the computations it is hidden behind
  (``async_collective_fusion``): each of them prints the whole collective, with one ``chain_id``; that which the custom
  call ``AsyncCollectiveStart`` reads counts, the others go on with it.
- An all-reduce fused with the slicing of its result (``all-reduce-scatter``) is a reduce-scatter. libtpu may pad it,
  and moves the rows that so got onto the wrong device by a collective-permute: the padding is sent and is in
  ``link_bytes``, not in ``payload_bytes``. An all-reduce that stands alone is one, even where a slice of it is taken:
  libtpu makes such of a reduce-scatter over several dimensions of the torus, and on v5p of an all-gather over three.
- Between slices of TPUs collectives are ``send`` and ``recv`` of the host, with the kind as
  ``_xla_megascale_transfer_type``; a collective within and between slices is several, of both sorts.
- A collective matmul is a loop of collective-permutes, and is counted as that.
- Of the branches of a condition the one that sends most counts.

Bytes on the links are those that each device sends if a collective of n devices is a ring: (n-1)/n of the whole array
for all-gather, reduce-scatter and all-to-all, twice that for all-reduce, which is the least it takes (Patarasuk and
Yuan, 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations").
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

import jax

from dfjax.plan import groups as groups_lib
from dfjax.plan import hlo
from dfjax.plan import loops as loops_lib

KINDS = (
    "all-gather",
    "reduce-scatter",
    "all-reduce",
    "all-to-all",
    "ragged-all-to-all",  # as if every row were sent, which is the most it can be
    "collective-permute",
)
_BETWEEN_SLICES = {
    "ALL_GATHER": "all-gather",
    "REDUCE_SCATTER": "reduce-scatter",
    "ALL_REDUCE": "all-reduce",
    "ALL_TO_ALL": "all-to-all",
    "ONE_TO_ONE": "collective-permute",
}

Trips = Callable[[loops_lib.Loop], int | None]


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective instruction of a program.

    kind: one of ``KINDS``.
    axes: of the mesh, in its order, along which the devices of a group differ.
    group: the devices of one of its groups (of a collective-permute: source and target), as positions in
      ``mesh.devices.flat``.
    count: how often one execution of the program executes it.
    payload_bytes: the whole array, each time: all-gather's result, the others' operand on one device.
    link_bytes: that each device sends, each time; of a collective-permute a device that sends at all.
    dtype: of the elements; several, joined by ``+``, if arrays of different types are sent as one.
    where: the traced operation it comes from, or its name in the program.
    """

    kind: str
    axes: tuple[str, ...]
    group: tuple[int, ...]
    count: int
    payload_bytes: int
    link_bytes: float
    dtype: str
    where: str


@dataclasses.dataclass(frozen=True)
class Total:
    """All collectives of one kind over the same axes: their executions and bytes in one execution of the program."""

    kind: str
    axes: tuple[str, ...]
    count: int
    payload_bytes: int
    link_bytes: float


def collectives(text: str, mesh: jax.sharding.Mesh, trips: Trips | None = None) -> list[Collective]:
    """Every collective of a compiled program.

    Args:
      text: of the program, ``compiled.as_text()``, for TPU, CPU or GPU.
      mesh: that the program was compiled for.
      trips: tells the trip count of a loop that the text does not tell, or None if it does not know either.

    Raises:
      hlo.ProgramError: for a loop with collectives in it and an unknown trip count, a mesh of another size, and
        anything in a notation unknown here.
    """
    module = hlo.parse(text)
    _check_chains(module)
    devices = groups_lib.Devices(mesh, module.num_partitions)
    return _Reader(devices, trips).read(loops_lib.whole(module), 1)


def by_axis(found: Iterable[Collective]) -> list[Total]:
    """Sums by kind and axes, the most bytes on the links first."""
    sums: dict[tuple[str, tuple[str, ...]], Total] = {}
    for one in found:
        key = one.kind, one.axes
        so_far = sums.get(key, Total(*key, 0, 0, 0.0))
        sums[key] = Total(
            *key,
            so_far.count + one.count,
            so_far.payload_bytes + one.count * one.payload_bytes,
            so_far.link_bytes + one.count * one.link_bytes,
        )
    return sorted(sums.values(), key=lambda total: -total.link_bytes)


def link_bytes(found: Iterable[Collective]) -> float:
    """What each device sends in one execution of the program, over all kinds and axes."""
    return sum(one.count * one.link_bytes for one in found)


class _Reader:
    """Walks through a program from its entry; ``times`` is how often a scope is executed."""

    def __init__(self, devices: groups_lib.Devices, trips: Trips | None) -> None:
        self._devices = devices
        self._trips = trips

    def read(self, scope: loops_lib.Scope, times: int, fused: bool = False) -> list[Collective]:
        found: list[Collective] = []
        for instruction in scope.computation.instructions.values():
            match instruction.opcode:
                case "while":
                    found += self._loop(scope, instruction, times)
                case "conditional":
                    found += self._dearest(scope.branches(instruction), times)
                case "fusion":
                    found += self.read(scope.inside(instruction), times, fused=True)
                case "call" | "async-start":
                    found += self.read(scope.inside(instruction), times)
                case _:
                    one = self._collective(instruction, scope.computation, times, fused)
                    found += [one] if one else []
        return found

    def _loop(self, scope: loops_lib.Scope, instruction: hlo.Instruction, times: int) -> list[Collective]:
        body = self.read(scope.body(instruction), 1)
        if not body:
            return []
        loop = loops_lib.loop(scope, instruction)
        trips = loop.trips
        if trips is None and self._trips is not None:
            trips = self._trips(loop)
        if trips is None:
            raise hlo.ProgramError(
                f"loop {loop.name} ({loop.op_name}) communicates, but how often it runs is not in the program: "
                "give its trip count by trips="
            )
        return [dataclasses.replace(one, count=one.count * trips * times) for one in body]

    def _dearest(self, branches: Sequence[loops_lib.Scope], times: int) -> list[Collective]:
        """Of the branches of a condition that with the most traffic."""
        return max((self.read(branch, times) for branch in branches), key=link_bytes, default=[])

    def _collective(
        self, instruction: hlo.Instruction, computation: hlo.Computation, times: int, fused: bool
    ) -> Collective | None:
        kind = _kind(instruction)
        if kind is None or not _starts(instruction, computation):
            return None
        moved = _arrays(instruction, computation)
        payload = moved
        if kind == "all-reduce" and fused and _is_scattered(instruction.name, computation):
            kind = "reduce-scatter"
            payload = _before_padding(instruction, computation)
        groups = self._devices.groups(instruction, kind)
        axes = self._devices.axes(groups)
        if not axes:
            return None
        group = max(groups, key=len)
        size = len(group)
        whole = size if kind == "all-gather" else 1
        return Collective(
            kind=kind,
            axes=axes,
            group=tuple(group),
            count=times,
            payload_bytes=whole * sum(array.bytes for array in payload),
            link_bytes=_ring(kind, size) * whole * sum(array.bytes for array in moved),
            dtype="+".join(sorted({array.dtype for array in moved})),
            where=instruction.op_name,
        )


def _kind(instruction: hlo.Instruction) -> str | None:
    """The kind of a collective, if the instruction is one, or is the start of one."""
    if instruction.opcode == "send":
        return _kind_of_send(instruction)
    name = instruction.opcode.removesuffix("-start")
    if name == "collective-broadcast" or (name == "collective-permute" and "slice_sizes=" in instruction.attributes):
        raise hlo.ProgramError(f"{instruction.name} is a collective of a sort unknown here")
    return name if name in KINDS else None


def _kind_of_send(instruction: hlo.Instruction) -> str | None:
    """A send is between slices (with its recv, one collective) or to the host, which is no collective."""
    if "_xla_megascale_target" not in instruction.attributes:
        if "is_host_transfer=true" in instruction.attributes:
            return None
        raise hlo.ProgramError(f"{instruction.name} sends to a device in a way unknown here")
    found = re.search(r'_xla_megascale_transfer_type="(\w+)"', instruction.attributes)
    if found is None or found[1] not in _BETWEEN_SLICES:
        raise hlo.ProgramError(f"{instruction.name} is a transfer between slices of a sort unknown here")
    return _BETWEEN_SLICES[found[1]]


def _ring(kind: str, size: int) -> float:
    """What a device sends around a ring of ``size``, as a part of the whole array."""
    if kind == "collective-permute":
        return 1.0
    return (2 if kind == "all-reduce" else 1) * (size - 1) / size


def _is_piece(instruction: hlo.Instruction) -> bool:
    return '"async_collective_fusion_config"' in instruction.attributes


def _starts(instruction: hlo.Instruction, computation: hlo.Computation) -> bool:
    """False for all but the first of the pieces in which one asynchronous collective is printed."""
    return not _is_piece(instruction) or any(
        'custom_call_target="AsyncCollectiveStart"' in user.attributes for user in computation.users(instruction.name)
    )


def _check_chains(module: hlo.Module) -> None:
    """Raises ProgramError if a piece belongs to a chain of which no piece is the start."""
    started, seen = set(), set()
    for computation in module.computations.values():
        for instruction in computation.instructions.values():
            if _kind(instruction) and _is_piece(instruction):
                chain = re.search(r'chain_id="([^"]*)"', instruction.attributes)
                name = chain[1] if chain else instruction.name
                seen.add(name)
                if _starts(instruction, computation):
                    started.add(name)
    if seen - started:
        raise hlo.ProgramError(f"asynchronous collectives without a start: chains {sorted(seen - started)}")


def _arrays(instruction: hlo.Instruction, computation: hlo.Computation) -> tuple[hlo.Array, ...]:
    """The operands of a collective: those of a send without the token."""
    operands = (computation.instructions[name].arrays for name in instruction.operands)
    return tuple(array for arrays in operands for array in arrays)


def _is_scattered(name: str, computation: hlo.Computation) -> bool:
    """Whether nothing but slices are taken of an instruction's result."""
    users = computation.users(name)
    return bool(users) and all(
        user.opcode == "dynamic-slice"
        or (user.opcode in ("bitcast", "get-tuple-element") and _is_scattered(user.name, computation))
        for user in users
    )


def _before_padding(instruction: hlo.Instruction, computation: hlo.Computation) -> tuple[hlo.Array, ...]:
    """The operands of a collective, or what they were before the compiler padded them."""
    operands = (computation.instructions[name] for name in instruction.operands)
    sources = (computation.instructions[one.operands[0]] if one.opcode == "pad" else one for one in operands)
    return tuple(array for source in sources for array in source.arrays)
