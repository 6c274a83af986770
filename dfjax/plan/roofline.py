"""The least time that a step can take on its devices: by their arithmetic, their memory and the links between them.

Each is at a peak rate of the public tables (``parallel/hardware.py``), and a bound, not a forecast: a step that
overlaps all three perfectly takes as long as the longest.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from dfjax.parallel import hardware
from dfjax.plan import traffic
from dfjax.plan.topology import Topology


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds a step.

    Attributes:
      compute: all executed operations at the peak of the compute type. hbm: an estimate. interconnect: the collectives,
        one after the other, each over the links between its own devices. by_axes: the same for the axes of the mesh
        that they join, as "data+fsdp". The last two are None where there is no program to read.
    """

    compute: float
    hbm: float
    interconnect: float | None
    by_axes: dict[str, float] | None

    @property
    def bound(self) -> float | None:
        """The longest of the three; None without a program."""
        return None if self.interconnect is None else max(self.compute, self.hbm, self.interconnect)


def roofline(
    executed_flops: float,
    hbm_bytes: float,
    collectives: Iterable[traffic.Collective] | None,
    mesh: jax.sharding.Mesh,
    topology: Topology,
    dtype: str,
) -> Roofline:
    """The roofline of a step.

    Args:
      executed_flops: floating-point operations over all devices. hbm_bytes: that each device moves.
      collectives: of the program, if there is one. dtype: of the network's products, "bfloat16" or "float32".
    """
    device = topology.device
    compute = executed_flops / (topology.chips * device.peak_flops(dtype))
    by_axes: dict[str, float] | None = None
    if collectives is not None:
        by_axes = {}
        for one in collectives:
            name = "+".join(one.axes)
            group = [mesh.devices.flat[position] for position in one.group]
            by_axes[name] = by_axes.get(name, 0.0) + one.count * one.link_bytes / bandwidth(group, topology)
    interconnect = None if by_axes is None else sum(by_axes.values(), 0.0)
    return Roofline(compute, hbm_bytes / device.hbm_bandwidth, interconnect, by_axes)


def bandwidth(group: Sequence[jax.Device], topology: Topology) -> float:
    """Bytes per second that each device of a group can send to its fellows.

    Between slices (TPU) or nodes (GPU) it is a chip's share of that network. Within one, every dimension of the torus
    along which they lie adds two links where it closes to a ring and one where it is a line, over n where the group
    takes every n-th chip and n groups share the links. Without a torus it is the link into the switch.
    """
    device = topology.device
    if len({_island(one, device) for one in group}) > 1:
        return device.dcn_bandwidth
    return device.link_bandwidth * (_links(group, topology) if device.torus_axes else 1)


def _island(device: jax.Device, kind: hardware.Device) -> int:
    """Slice or node of a device: what lies in one is joined by fast links."""
    if kind.platform == "gpu":
        return device.process_index
    return getattr(device, "slice_index", 0) or 0


def _links(group: Sequence[jax.Device], topology: Topology) -> float:
    coords = np.array([device.coords for device in group])
    links = 0.0
    for places, size, wraps in zip(coords.T, topology.shape, topology.wraps, strict=False):
        distinct = np.unique(places)
        if len(distinct) > 1:
            stride = int(np.diff(distinct).min())
            if wraps and len(distinct) == 2:
                # The two may be nearer by the other way round.
                stride = min(stride, size - stride)
            links += (2 if wraps and len(distinct) * stride == size else 1) / stride
    return links
