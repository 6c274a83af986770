"""Which devices a collective of a compiled program joins, as axes of the mesh.

Devices are named in the text in one of five ways; all but the last mean positions in the device assignment, which under
``jax.jit`` is the order of ``mesh.devices.flat``, whatever the devices' own ids:

- ``replica_groups={{0,1},{2,3}}``: lists; ``{}`` or, without ``use_global_device_ids``, ``{{0}}`` is all of them;
- ``replica_groups=[2,2]<=[4]`` or ``[2,2]<=[2,2]T(1,0)``: 0, 1, 2, ... reshaped, transposed, and reshaped to groups;
- ``replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'b'}``: the named axes of a mesh of the compiler's own,
  and ``'a':(2)4`` is the part of size 4 of an axis that has a part of size 2 before it;
- ``source_target_pairs={{0,1},{1,0}}``;
- between slices of TPUs ``_xla_megascale_target``, with ids of the devices: ``{{100000,200000}}``,
  ``{{100000->200000}}``, or ``"{1,2}x{0:15}"``, every device 0 to 15 of a slice with its fellows in the slices 1 and 2.

A program for several slices is that of each slice: its positions are those of one slice's devices.
"""

import itertools
import math
import re

import jax
import numpy as np

from dfjax.plan import hlo

_SLICE_IDS = (
    100_000  # libtpu's id of a device is this times its slice's number, which counts from one, and its id there
)
_OF_PARTITIONS = ("all-to-all", "ragged-all-to-all", "collective-permute")  # name partitions in any case

Groups = list[list[int]]


class Devices:
    """The devices of a mesh as a program with a number of partitions names them."""

    def __init__(self, mesh: jax.sharding.Mesh, num_partitions: int) -> None:
        if mesh.size % num_partitions:
            raise hlo.ProgramError(f"the program is for {num_partitions} devices, the mesh has {mesh.size}")
        self._mesh = mesh
        flat = list(mesh.devices.flat)
        slices = [getattr(device, "slice_index", None) for device in flat]
        several = num_partitions < mesh.size
        self._partitions = [i for i, which in enumerate(slices) if not several or which == slices[0]]
        if len(self._partitions) != num_partitions:
            raise hlo.ProgramError(
                f"the program is for {num_partitions} devices, a slice of the mesh has {len(self._partitions)}"
            )
        self._by_id = {device.id: i for i, device in enumerate(flat)}

    def groups(self, instruction: hlo.Instruction, kind: str) -> Groups:
        """The groups (of a collective-permute: source and target) as positions in ``mesh.devices.flat``."""
        attributes = instruction.attributes
        if instruction.opcode == "send":
            return [[self._by_id[number] for number in group] for group in _megascale(attributes)]
        found = re.search(r"(?:replica_groups|source_target_pairs)=", attributes)
        groups = _groups(attributes[found.end() :]) if found else []
        everyone = [list(range(len(self._partitions)))]
        names_partitions = "use_global_device_ids=true" in attributes or kind in _OF_PARTITIONS
        if not names_partitions and "channel_id=" not in attributes:
            groups = []  # between replicas, of which there is one
        elif not names_partitions or (not groups and kind != "collective-permute"):
            groups = everyone
        return [[self._partitions[number] for number in group] for group in groups]

    def axes(self, groups: Groups) -> tuple[str, ...]:
        """The axes of the mesh along which any group's devices differ."""
        shape = self._mesh.devices.shape
        differs = np.zeros(len(shape), bool)
        for group in groups:
            where = np.stack(np.unravel_index(group, shape))
            differs |= (where != where[:, :1]).any(axis=1)
        return tuple(name for name, differ in zip(self._mesh.axis_names, differs, strict=True) if differ)


def _groups(text: str) -> Groups:
    """The groups that a text begins with, in any of its notations."""
    if text.startswith("{}"):
        return []
    if found := re.match(r"\{\{.*?\}\}", text):
        return _lists(found[0])
    if found := re.match(r"\[([\d,]+)\]<=(\[[\d,]+\](?:T\([\d,]+\))?)", text):
        return _iota(found[2]).reshape(_numbers(found[1])).tolist()
    if found := re.match(r"mesh\[(.*?)\](?:, device_ids=\((.*?\)?)\))? \{(.*?)\}", text):
        return _mesh_axes(found[1], found[2], found[3])
    raise hlo.ProgramError(f"device groups in a notation unknown here: {text[:80]}")


def _lists(text: str) -> Groups:
    return [_numbers(group) for group in re.findall(r"\{([\d,>\-]+)\}", text)]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _iota(text: str) -> np.ndarray:
    """``[2,4]T(1,0)``: 0 to 7 in two rows of four, transposed."""
    dims, _, order = text.partition("T")
    counted = np.arange(math.prod(_numbers(dims))).reshape(_numbers(dims))
    return counted.transpose(_numbers(order)) if order else counted


def _mesh_axes(sizes: str, devices: str | None, axes: str) -> Groups:
    """Groups along some axes of a mesh. A part of an axis makes that axis three: before, itself, behind."""
    parts = dict(re.findall(r"([^\s,=]+)=(\d+)", sizes))
    named = dict(re.findall(r"([^\s,:]+)(?::(\(\d+\)\d+))?", axes))
    shape: list[int] = []
    joined: list[int] = []
    for name, size in parts.items():
        before, part = _numbers(named[name]) if named.get(name) else (1, int(size))
        if name in named:
            joined.append(len(shape) + 1)
        shape += [before, part, int(size) // (before * part)]
    if devices is None:
        numbers = np.arange(math.prod(shape))
    else:
        numbers = _iota(devices).ravel() if devices.startswith("[") else np.array(_numbers(devices))
    apart = [i for i in range(len(shape)) if i not in joined]
    together = math.prod(shape[i] for i in joined)
    return numbers.reshape(shape).transpose(apart + joined).reshape(-1, together).tolist()


def _megascale(attributes: str) -> Groups:
    """Groups of device ids of a transfer between slices."""
    if found := re.search(r"_xla_megascale_target=(\{\{.*?\}\})", attributes):
        return _lists(found[1])
    if found := re.search(r'_xla_megascale_target="\{([\d,:]+)\}x\{([\d,:]+)\}"', attributes):
        slices, inside = (list(_ranges(part)) for part in found.groups())
        return [[_SLICE_IDS * which + number for which in slices] for number in inside]
    raise hlo.ProgramError(f"a transfer between slices with targets unknown here: {attributes[:200]}")


def _ranges(text: str) -> itertools.chain[int]:
    """``0:3,8`` is 0, 1, 2, 3, 8."""
    bounds = [_numbers(part) for part in text.split(",")]
    return itertools.chain.from_iterable(range(first[0], first[-1] + 1) for first in bounds)
