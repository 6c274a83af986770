"""The reader of compiled programs finds the traffic that is known of a program by how it is made.

Of single collectives, of loops, of training steps, on TPUs, slices of TPUs and CPUs; and a gather too many. What it
cannot read it refuses. Notations that no compiler here prints on demand are tried on texts written by hand.
"""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from dfjax.plan import hlo, loops, traffic
from tests.plan import programs, targets

SQUARE = programs.WIDTH**2 * 2  # bytes of bfloat16
WEIGHT = 4 * SQUARE  # of each of the two weights of a layer of the training step
ROOT = pathlib.Path(__file__).parents[2]

# The array as a whole, and what a device sends in a ring of four, of which each device begins with a SQUARE.
SINGLE = {
    "all-gather": (4 * SQUARE, 3 * SQUARE),
    "reduce-scatter": (SQUARE, 3 / 4 * SQUARE),
    "all-reduce": (SQUARE, 2 * 3 / 4 * SQUARE),
    "all-to-all": (SQUARE, 3 / 4 * SQUARE),
    "collective-permute": (SQUARE, SQUARE),
}


@pytest.fixture(
    scope="module",
    params=["v5e:4x4", *(pytest.param(name, marks=pytest.mark.long) for name in ("v6e:4x4", "v5p:2x2x4"))],
)
def tpus(request):
    return targets.mesh(request.param, data=4, fsdp=4)


@pytest.fixture(scope="module")
def v5e():
    return targets.mesh("v5e:4x4", data=4, fsdp=4)


@pytest.fixture(scope="module")
def slices():
    return targets.mesh("v5e:4x4", replica=2, data=4, fsdp=4)


@pytest.fixture(scope="module")
def step(v5e) -> str:
    return programs.training_step(v5e)


@pytest.mark.gate(1)
@pytest.mark.parametrize("kind", SINGLE)
def test_single_collective(tpus, kind):
    (one,) = traffic.collectives(programs.text(tpus, programs.single(kind, "data"), programs.square()), tpus)
    whole, sent = SINGLE[kind]
    assert (one.kind, one.axes, one.count, one.dtype) == (kind, ("data",), 1, "bf16")
    assert (one.payload_bytes, one.link_bytes) == (whole, sent)
    assert len(one.group) == (2 if kind == "collective-permute" else 4)


def test_gather_over_two_axes(tpus):
    program = programs.text(tpus, programs.single("all-gather", ("data", "fsdp")), programs.square())
    (one,) = traffic.collectives(program, tpus)
    assert (one.axes, len(one.group), one.link_bytes) == (("data", "fsdp"), 16, 15 * SQUARE)


def test_padding_is_sent_but_no_payload(v5e):
    """A scatter that libtpu pads: the rows that so got onto the wrong device are sent on to their own."""

    def scatter(x):
        return lax.psum_scatter(jnp.cos(x), "fsdp", tiled=True)

    rows = 4 * programs.WIDTH
    program = programs.text(v5e, scatter, ((rows, rows), jnp.bfloat16, P()))
    found = {one.kind: one for one in traffic.collectives(program, v5e)}
    whole = rows * rows * 2
    assert found["reduce-scatter"].payload_bytes == whole
    assert 3 / 4 * whole < found["reduce-scatter"].link_bytes < 1.05 * 3 / 4 * whole
    assert 3 / 4 * whole < traffic.link_bytes(found.values()) < 1.1 * 3 / 4 * whole


@pytest.mark.long
def test_order_of_devices_in_the_mesh_is_what_counts(v5e):
    turned = jax.sharding.Mesh(v5e.devices[::-1, [2, 0, 3, 1]], v5e.axis_names)
    program = programs.text(turned, programs.single("all-gather", "fsdp"), programs.square())
    (one,) = traffic.collectives(program, turned)
    assert one.axes == ("fsdp",)


def test_arrays_of_two_types(v5e):
    program = programs.text(v5e, programs.together, programs.square(), programs.square(jnp.float32))
    found = traffic.collectives(program, v5e)
    assert sum(one.payload_bytes for one in found) == 3 * SQUARE
    assert {dtype for one in found for dtype in one.dtype.split("+")} == {"bf16", "f32"}


def test_loop_in_a_loop(tpus):
    weights = (5, programs.WIDTH, programs.WIDTH), jnp.bfloat16, P(None, "fsdp")
    program = programs.text(tpus, programs.nested, programs.square(), weights)
    assert [(loop.depth, loop.trips) for loop in loops.loops(program)] == [(0, 3), (1, 5)]
    assert programs.known(traffic.collectives(program, tpus)) == [
        ("all-gather", ("fsdp",), 15, SQUARE),
        ("all-reduce", ("data",), 3, SQUARE),
    ]


def test_training_step(step, v5e):
    """Of what is split in two over pieces of the program (or this would show nothing), each counts once."""
    assert "AsyncCollectiveStart" in step
    totals = {(total.kind, total.axes): total for total in traffic.by_axis(traffic.collectives(step, v5e))}
    gathers = totals["all-gather", ("fsdp",)]
    scatters = totals["reduce-scatter", ("fsdp",)]
    assert gathers.count == 2 * scatters.count == 2 * 2 * programs.LAYERS  # forward and backward, two weights
    assert gathers.link_bytes == gathers.count * 3 / 4 * WEIGHT
    assert scatters.payload_bytes == scatters.count * WEIGHT
    assert scatters.link_bytes == pytest.approx(scatters.count * 3 / 4 * WEIGHT, rel=0.1)  # padded
    gradients = 2 * programs.LAYERS * 2 * WEIGHT / 4  # in float32
    assert totals["all-reduce", ("data",)].link_bytes == 2 * 3 / 4 * gradients


@pytest.mark.long
def test_planted_gather_is_found(step, v5e):
    planted = programs.training_step(v5e, extra=True)
    more = traffic.link_bytes(traffic.collectives(planted, v5e)) - traffic.link_bytes(traffic.collectives(step, v5e))
    assert more == programs.LAYERS * 3 / 4 * WEIGHT


def test_collective_matmul():
    """A ring in place of a gather: each shard is sent 15 times, and two more, since the loop is unrolled by four."""
    mesh = targets.mesh("v5e:4x4", fsdp=16)
    program = programs.collective_matmul(mesh)
    assert [loop.depth for loop in loops.loops(program)] == [0, 1]
    found = traffic.collectives(program, mesh)
    assert {(one.kind, one.axes) for one in found} == {("collective-permute", ("fsdp",))}
    assert sum(one.count for one in found) == programs.LAYERS * (15 + 2)
    assert traffic.link_bytes(found) == programs.LAYERS * (15 + 2) * SQUARE / 16


@pytest.mark.gate(1)
@pytest.mark.parametrize("kind", SINGLE)
def test_between_slices(slices, kind):
    (one,) = traffic.collectives(programs.text(slices, programs.single(kind, "replica"), programs.square()), slices)
    whole, sent = {
        "all-gather": (2 * SQUARE, SQUARE),
        "reduce-scatter": (SQUARE, SQUARE / 2),
        "all-reduce": (SQUARE, SQUARE),
        "all-to-all": (SQUARE, SQUARE / 2),
        "collective-permute": (SQUARE, SQUARE),
    }[kind]
    assert (one.kind, one.axes, one.count) == (kind, ("replica",), 1)
    assert (one.payload_bytes, one.link_bytes) == (whole, sent)


def test_within_and_between_slices(slices):
    """Scattered within each slice, added up between the slices, gathered within."""
    everywhere = slices.axis_names
    found = traffic.collectives(
        programs.text(slices, programs.single("all-reduce", everywhere), programs.square()), slices
    )
    assert programs.known(found) == [
        ("all-gather", ("data", "fsdp"), 1, SQUARE),
        ("all-reduce", ("replica",), 1, SQUARE // 16),
        ("reduce-scatter", ("data", "fsdp"), 1, SQUARE),
    ]


@pytest.mark.gate(1)
@pytest.mark.parametrize("axis", ["replica", "fsdp"])
def test_devices_of_slices_in_any_order(slices, axis):
    turned = jax.sharding.Mesh(slices.devices[:, ::-1, [2, 0, 3, 1]], slices.axis_names)
    program = programs.text(turned, programs.single("all-gather", axis), programs.square())
    assert [one.axes for one in traffic.collectives(program, turned)] == [(axis,)]


@pytest.mark.multidevice
def test_on_cpu():
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "tests.plan.cpu_program"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    square = 2 * SQUARE  # float32
    for kind, (whole, sent) in SINGLE.items():
        assert found[kind] == [[kind, ["fsdp"], 1, 2 * whole, 2 * sent]]
    assert sum(row[4] for row in found["together"]) == 2 * square  # two arrays, a ring of two
    gather, reduce = ["all-gather", ["fsdp"], 15, square, 0.75 * square], ["all-reduce", ["data"], 3, square, square]
    assert found["nested"] == [gather, reduce]


def _written(body: str, *computations: str, partitions: int = 8) -> str:
    """A program by hand, whose entry has a parameter ``%x`` of 1,024 bytes."""
    header = f"HloModule by_hand, is_scheduled=true, num_partitions={partitions}"
    entry = f"ENTRY %main (x: f32[8,32]) -> f32[8,32] {{\n  %x = f32[8,32]{{1,0:T(8,128)}} parameter(0)\n{body}\n}}"
    return "\n\n".join([header, *computations, entry]) + "\n"


@pytest.fixture(scope="module")
def eight():
    """A mesh by hand: nothing but its shape and names are asked for."""
    device = jax.devices()[0]
    return jax.sharding.Mesh([[device] * 4] * 2, ("data", "fsdp"))


GROUPS = {
    "{{0,1,2,3},{4,5,6,7}}": ("fsdp",),
    "{{0,4},{1,5},{2,6},{3,7}}": ("data",),
    "{}": ("data", "fsdp"),
    "[2,4]<=[8]": ("fsdp",),
    "[4,2]<=[2,4]T(1,0)": ("data",),
    "[1,8]<=[8]": ("data", "fsdp"),
    "mesh['a'=2,'b'=4] {'b'}": ("fsdp",),
    "mesh['a'=2,'b'=4] {'a','b'}": ("data", "fsdp"),
    "mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}": ("data",),
    "mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}": ("fsdp",),
    "mesh['a'=8] {'a':(1)2}": ("data",),
    "mesh['a'=8] {'a':(4)2}": ("fsdp",),
    "mesh['a'=2,'b'=4], device_ids=(0,4,1,5,2,6,3,7) {'a'}": ("fsdp",),
}


@pytest.mark.parametrize("groups", GROUPS)
def test_groups_in_every_notation(eight, groups):
    line = f"  ROOT %y = f32[8,32]{{1,0}} all-reduce(%x), channel_id=1, replica_groups={groups}"
    (one,) = traffic.collectives(_written(line + ", use_global_device_ids=true, to_apply=%add"), eight)
    assert one.axes == GROUPS[groups]


def test_groups_of_replicas_are_all_devices(eight):
    """Without global ids groups are of replicas: there is one, on all devices, and without a channel it is alone."""
    line = "  ROOT %y = f32[8,32]{1,0} all-reduce(%x), replica_groups={{0}}, to_apply=%add"
    assert traffic.collectives(_written(line), eight) == []
    (one,) = traffic.collectives(_written(line.replace("replica_groups", "channel_id=1, replica_groups")), eight)
    assert (one.axes, len(one.group)) == (("data", "fsdp"), 8)


BODY = """%body (s: (s32[], f32[8,32])) -> (s32[], f32[8,32]) {
  %s = (s32[], f32[8,32]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %a = f32[8,32]{1,0} get-tuple-element(%s), index=1
  %two = s32[] constant(2)
  %next = s32[] add(%i, %two)
  %p-start = (f32[8,32], f32[8,32]) collective-permute-start(%a), channel_id=1, source_target_pairs={{0,1},{1,0}}
  %p-done = f32[8,32]{1,0} collective-permute-done(%p-start)
  ROOT %t = (s32[], f32[8,32]{1,0}) tuple(%next, %p-done)
}"""
CONDITION = """%condition (s: (s32[], f32[8,32])) -> pred[] {
  %s = (s32[], f32[8,32]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %end = s32[] constant(9)
  ROOT %more = pred[] compare(%i, %end), direction=LT
}"""
LOOP = """  %zero = s32[] START
  %t = (s32[], f32[8,32]{1,0}) tuple(%zero, %x)
  %w = (s32[], f32[8,32]{1,0}) while(%t), condition=%condition, body=%body, metadata={op_name="jit(f)/while"}
  ROOT %y = f32[8,32]{1,0} get-tuple-element(%w), index=1"""


@pytest.mark.parametrize(("start", "trips"), [("constant(0)", 5), ("constant(1)", 4), ("constant(9)", 0)])
def test_trips_are_those_the_condition_allows(eight, start, trips):
    text = _written(LOOP.replace("START", start), BODY, CONDITION)
    assert [loop.trips for loop in loops.loops(text)] == [trips]
    assert [one.count for one in traffic.collectives(text, eight)] == [trips]


def test_known_trips_are_taken(eight):
    known = 'body=%body, backend_config={"known_trip_count":{"n":"12"}}'
    text = _written(LOOP.replace("START", "custom-call()").replace("body=%body", known), BODY, CONDITION)
    assert [one.count for one in traffic.collectives(text, eight)] == [12]


def test_unknown_trips_are_refused_or_given(eight):
    text = _written(LOOP.replace("START", "custom-call()"), BODY, CONDITION)
    with pytest.raises(hlo.ProgramError, match=r"jit\(f\)/while.*trips="):
        traffic.collectives(text, eight)
    (one,) = traffic.collectives(text, eight, trips=lambda loop: 3 if loop.name == "w" else None)
    assert (one.count, one.link_bytes) == (3, 1024)


OUTER = """%outer (s: (s32[], f32[8,32], s32[], s32[])) -> (s32[], f32[8,32], s32[], s32[]) {
  %s = (s32[], f32[8,32], s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %a = f32[8,32] get-tuple-element(%s), index=1
  %from = s32[] get-tuple-element(%s), index=2
  %other = s32[] get-tuple-element(%s), index=3
  %t = (s32[], f32[8,32]) tuple(%from, %a)
  %w = (s32[], f32[8,32]) while(%t), condition=%condition, body=%body
  %b = f32[8,32] get-tuple-element(%w), index=1
  %two = s32[] constant(2)
  %next = s32[] add(%i, %two)
  ROOT %u = (s32[], f32[8,32], s32[], s32[]) tuple(%next, %b, HANDED)
}"""
NESTED = """  %one = s32[] constant(1)
  %five = s32[] constant(5)
  %t = (s32[], f32[8,32], s32[], s32[]) tuple(%one, %x, %one, %five)
  %w = (s32[], f32[8,32], s32[], s32[]) while(%t), condition=%condition, body=%outer
  ROOT %y = f32[8,32] get-tuple-element(%w), index=1"""


def test_what_an_outer_loop_changes_is_not_known_in_an_inner_one(eight):
    """The inner loop begins at one in each of four trips; but not if the outer loop exchanges that with a five."""
    kept, exchanged = (OUTER.replace("HANDED", handed) for handed in ("%from, %other", "%other, %from"))
    (one,) = traffic.collectives(_written(NESTED, BODY, CONDITION, kept), eight)
    assert one.count == 4 * 4
    with pytest.raises(hlo.ProgramError, match="trips="):
        traffic.collectives(_written(NESTED, BODY, CONDITION, exchanged), eight)


def test_loops_without_communication_may_be_of_unknown_length(eight):
    quiet = BODY.replace("collective-permute-start(%a)", "copy-start(%a)").replace(
        "collective-permute-done", "copy-done"
    )
    assert traffic.collectives(_written(LOOP.replace("START", "custom-call()"), quiet, CONDITION), eight) == []


def test_dearest_branch_counts(eight):
    branches = [
        f"%{name} (x.{name}: f32[8,32]) -> f32[8,32] {{\n  %x.{name} = f32[8,32]{{1,0}} parameter(0)\n"
        f"  ROOT %y.{name} = f32[8,32]{{1,0}} {operation}(%x.{name}){rest}\n}}"
        for name, operation, rest in [
            ("none", "negate", ""),
            ("some", "all-reduce", ", channel_id=1, replica_groups=[2,4]<=[8], use_global_device_ids=true"),
        ]
    ]
    line = "  ROOT %y = f32[8,32]{1,0} conditional(%p, %x, %x), true_computation=%none, false_computation=%some"
    (one,) = traffic.collectives(_written(line, *branches), eight)
    assert one.kind == "all-reduce"


def test_piece_without_a_start_is_refused(step, v5e):
    with pytest.raises(hlo.ProgramError, match="without a start"):
        traffic.collectives(step.replace("AsyncCollectiveStart", "SomethingElse"), v5e)


def test_mesh_of_another_size_is_refused(eight):
    with pytest.raises(hlo.ProgramError, match="12 devices, the mesh has 8"):
        traffic.collectives(_written("", partitions=12), eight)


def test_text_that_is_no_program_is_refused(eight):
    with pytest.raises(hlo.ProgramError, match="as_text"):
        traffic.collectives("module @jit_f {}\n", eight)
    with pytest.raises(hlo.ProgramError, match="notation unknown"):
        traffic.collectives(_written("  ROOT %y = f32[8] all-reduce(%x), channel_id=1, replica_groups=<8>"), eight)
