"""The least time that a step can take on its devices: by their arithmetic, their memory and the links between them.

Each is at a peak rate of the public tables (``parallel/hardware.py``), and a bound, not a forecast: a step that
overlaps all three perfectly takes as long as the longest.
"""

import dataclasses
from collections.abc import Iterable

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
        one after the other. by_axes: the same for the axes of the mesh that they join, as "data+fsdp". The last two are
        None where there is no program to read.
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
    totals: Iterable[traffic.Total] | None,
    mesh: jax.sharding.Mesh,
    topology: Topology,
    dtype: str,
) -> Roofline:
    """The roofline of a step.

    Args:
      executed_flops: floating-point operations over all devices. hbm_bytes: that each device moves.
      totals: the collectives, by axis. dtype: of the network's products, "bfloat16" or "float32".
    """
    device = topology.device
    compute = executed_flops / (topology.chips * device.peak_flops(dtype))
    by_axes: dict[str, float] | None = None
    if totals is not None:
        by_axes = {}
        for total in totals:
            name = "+".join(total.axes) or "none"
            by_axes[name] = by_axes.get(name, 0.0) + _seconds(total, mesh, topology)
    interconnect = None if by_axes is None else sum(by_axes.values(), 0.0)
    return Roofline(compute, hbm_bytes / device.hbm_bandwidth, interconnect, by_axes)


def _seconds(total: traffic.Total, mesh: jax.sharding.Mesh, topology: Topology) -> float:
    return total.link_bytes / bandwidth(total.axes, mesh, topology) if total.axes else 0.0


def bandwidth(axes: tuple[str, ...], mesh: jax.sharding.Mesh, topology: Topology) -> float:
    """Bytes per second that each device can send to its fellows along some axes of the mesh.

    Between slices (TPU) or nodes (GPU) it is a chip's share of that network. Within one, every dimension of the torus
    along which they lie adds two links where it closes to a ring and one where it is a line, over n where the group
    takes every n-th chip and n groups share the links. Without a torus it is the link into the switch.
    """
    device = topology.device
    group = _group(axes, mesh)
    if len({_island(one, device) for one in group}) > 1:
        return device.dcn_bandwidth
    return device.link_bandwidth * (_links(group, topology) if device.torus_axes else 1)


def _group(axes: tuple[str, ...], mesh: jax.sharding.Mesh) -> list[jax.Device]:
    """The devices that the axes join with the mesh's first."""
    where = tuple(slice(None) if axis in axes else 0 for axis in mesh.axis_names)
    return list(np.atleast_1d(np.asarray(mesh.devices[where])).flat)


def _island(device: jax.Device, kind: hardware.Device) -> int:
    """Slice or node of a device: what lies in one is joined by fast links."""
    if kind.platform == "gpu":
        return device.process_index
    return getattr(device, "slice_index", 0) or 0


def _links(group: list[jax.Device], topology: Topology) -> float:
    coords = np.array([device.coords for device in group])
    links = 0.0
    for places, size, wraps in zip(coords.T, topology.shape, topology.wraps, strict=False):
        distinct = np.unique(places)
        if len(distinct) > 1:
            stride = int(np.diff(distinct).min())
            links += (2 if wraps and len(distinct) * stride == size else 1) / stride
    return links
