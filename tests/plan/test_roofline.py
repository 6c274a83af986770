"""The roofline: bandwidths along the axes of topologies, times from known work, and the estimate of memory traffic."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.parallel import torus
from dfjax.plan import hbm, roofline, topology, traffic
from dfjax.plan.topology import Topology
from tests import small
from tests.plan import small_device, targets


@dataclasses.dataclass(frozen=True)
class Chip:
    """Where a device is, as JAX says it."""

    coords: tuple[int, ...]
    slice_index: int = 0
    process_index: int = 0


class FakeMesh:
    """A mesh of chips in the order of their coordinates, the first fastest."""

    def __init__(self, where: Topology, **sizes: int) -> None:
        grid = np.ndindex(*reversed(where.shape))
        chips = [Chip((*reversed(place), 0)[:3]) for place in grid]
        chips = [
            dataclasses.replace(chip, slice_index=i, process_index=i) for i in range(where.slices) for chip in chips
        ]
        self.devices = np.empty(len(chips), object)
        self.devices[:] = chips
        self.devices = self.devices.reshape(tuple(sizes.values()))
        self.axis_names = tuple(sizes)

    def positions(self, *axes: str) -> tuple[int, ...]:
        """Of the devices that the axes join with the first one."""
        where = tuple(slice(None) if axis in axes else 0 for axis in self.axis_names)
        return tuple(np.arange(self.devices.size).reshape(self.devices.shape)[where].ravel().tolist())

    def group(self, *axes: str) -> list[Chip]:
        return [self.devices.flat[position] for position in self.positions(*axes)]


@pytest.mark.parametrize(
    ("name", "sizes", "axes", "links"),
    [
        # A ring has two directions, a line one.
        ("v5e:16x16", {"data": 16, "fsdp": 16}, ("fsdp",), 2),
        ("v5e:16x16", {"data": 16, "fsdp": 16}, ("data", "fsdp"), 4),
        ("v5e:4x4", {"data": 4, "fsdp": 4}, ("fsdp",), 1),
        ("v5e:16x16", {"data": 32, "fsdp": 8}, ("fsdp",), 1),
        # Every eighth chip of the ring of 16, in each of the columns: 8 groups share its links.
        ("v5e:16x16", {"fsdp": 16, "tensor": 2, "context": 8}, ("tensor",), 1 / 8 * 2),
        ("v5p:4x4x8", {"data": 8, "fsdp": 16}, ("fsdp",), 4),
        ("v5p:4x4x8", {"data": 8, "fsdp": 16}, ("data", "fsdp"), 6),
    ],
)
def test_links_are_those_of_the_torus(name, sizes, axes, links):
    where = topology.parse(name)
    found = roofline.bandwidth(FakeMesh(where, **sizes).group(*axes), where)
    assert found == pytest.approx(links * where.device.link_bandwidth)


@pytest.mark.parametrize("name", ["v5e:4x4*2", "h100:8*2"])
def test_between_slices_and_nodes_the_network_counts(name):
    where = topology.parse(name)
    mesh = FakeMesh(where, replica=2, fsdp=math.prod(where.shape))
    assert roofline.bandwidth(mesh.group("replica"), where) == where.device.dcn_bandwidth
    assert roofline.bandwidth(mesh.group("replica", "fsdp"), where) == where.device.dcn_bandwidth
    # Two lines, or one link into the switch.
    inside = {"v5e": 2, "h100": 1}[where.kind] * where.device.link_bandwidth
    assert roofline.bandwidth(mesh.group("fsdp"), where) == inside


def test_two_neighbours_over_the_end_of_a_ring_are_one_link_apart():
    where = topology.parse("v5e:16x16")
    mesh = FakeMesh(where, fsdp=256)
    for pair in ((0, 1), (0, 15), (0, 240)):
        assert roofline.bandwidth([mesh.devices.flat[i] for i in pair], where) == where.device.link_bandwidth


def test_a_mesh_of_libtpus_devices_has_the_links_of_its_topology():
    where = topology.parse("v5e:16x16")
    devices = list(targets.mesh("v5e:16x16", x=256).devices.flat)
    assert roofline.bandwidth(devices, where) == 4 * where.device.link_bandwidth
    # One ring, as ``parallel/torus.py`` goes: half the links.
    mesh = mesh_lib.make(config_lib.Mesh(data=1, fsdp=-1), devices)
    (ring, *_), (other, *_) = torus.stages(mesh, "fsdp")
    for group in (ring, other):
        chips = [mesh.devices.flat[position] for position in group]
        assert roofline.bandwidth(chips, where) == 2 * where.device.link_bandwidth


def test_the_bound_is_the_longest_of_the_three():
    where = topology.parse("v5e:16x16")
    mesh, device = FakeMesh(where, data=16, fsdp=16), where.device

    def collective(kind: str, axis: str, count: int, links: float) -> traffic.Collective:
        return traffic.Collective(
            kind, (axis,), mesh.positions(axis), count, 1, links * device.link_bandwidth, "f32", ""
        )

    found = [
        collective("all-gather", "fsdp", 2, 1.0),
        collective("all-reduce", "fsdp", 1, 4.0),
        collective("all-reduce", "data", 4, 0.5),
    ]
    work = 0.5 * 256 * device.peak_flops_bf16
    line = roofline.roofline(work, 0.25 * device.hbm_bandwidth, found, mesh, where, "bfloat16")
    assert (line.compute, line.hbm) == (0.5, 0.25)
    assert line.by_axes == {"fsdp": 3.0, "data": 1.0}
    assert line.interconnect == line.bound == 4.0
    assert roofline.roofline(work, 0.0, [], mesh, where, "bfloat16").bound == 0.5
    assert roofline.roofline(work, 0.0, None, mesh, where, "bfloat16").bound is None


def test_products_move_their_operands_and_results_once():
    def step(weights, rows):
        def layer(x, weight):
            return x @ weight, None

        return jax.lax.scan(layer, rows, weights)[0]

    rows = jax.ShapeDtypeStruct((hbm._ROWS, 8), "float32")
    found = hbm._count(jax.make_jaxpr(step)(jax.ShapeDtypeStruct((5, 8, 8), "float32"), rows).jaxpr)
    assert found == hbm.Moved(fixed=5 * 8 * 8 * 4, per_row=5 * 2 * 8 * 4)


@pytest.mark.long
def test_memory_traffic_grows_with_the_batch_and_is_shared_by_the_mesh(monkeypatch):
    small_device.use(monkeypatch)
    moved = {
        rows: hbm.step_bytes(small.config({"train.batch_size": rows}), _one(), {"params": 0}) for rows in (16, 32, 64)
    }
    assert moved[64] - moved[32] == pytest.approx(2 * (moved[32] - moved[16]))
    layers = hbm.layer_bytes(small.config(), jax.devices()[0])
    assert moved[32] - moved[16] == pytest.approx(16 * layers.per_row)
    assert hbm.step_bytes(small.config(), _one(), {"params": 10}) == pytest.approx(moved[16] + 40)


def test_micro_batches_read_the_weights_anew():
    whole = hbm.layer_bytes(small.config(), jax.devices()[0])
    halves = hbm.layer_bytes(small.config({"train.accumulation": 2}), jax.devices()[0])
    assert halves.per_row == pytest.approx(whole.per_row)
    assert halves.fixed == pytest.approx(2 * whole.fixed)


def _one() -> jax.sharding.Mesh:
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
