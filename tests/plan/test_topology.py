"""Names of topologies, what is offered, and devices to compile for where the compiler is installed."""

import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax.parallel import hardware
from dfjax.plan import slices, topology
from dfjax.plan.topology import Topology, TopologyError

ROOT = pathlib.Path(__file__).parents[2]
NO_LIBTPU = "libtpu is missing, which compiles for TPUs on a CPU: pip install libtpu"
TPUS = ["v4", "v5e", "v5p", "v6e"]


@pytest.mark.parametrize(
    ("text", "parsed", "chips", "hosts"),
    [
        ("v5e:16x16", Topology("v5e", (16, 16)), 256, 64),
        ("v5e:16x16*4", Topology("v5e", (16, 16), 4), 1024, 256),
        ("v6e:2x4", Topology("v6e", (2, 4)), 8, 1),
        ("v6e:1x1", Topology("v6e", (1, 1)), 1, 1),
        ("v5p:2x2x1", Topology("v5p", (2, 2, 1)), 4, 1),
        ("v5p:16x16x24", Topology("v5p", (16, 16, 24)), 6144, 1536),
        ("v4:4x4x8", Topology("v4", (4, 4, 8)), 128, 32),
        ("h100:8", Topology("h100", (8,)), 8, 1),
        ("H100:8*4", Topology("h100", (8,), 4), 32, 4),
        ("cpu", Topology("cpu", (1,)), 1, 1),
        ("cpu:8", Topology("cpu", (8,)), 8, 1),
    ],
)
def test_a_name_is_read_and_written(text, parsed, chips, hosts):
    found = topology.parse(text)
    assert found == parsed
    assert found.chips == chips
    assert topology.parse(str(found)) == found
    if found.kind != "cpu":
        assert found.hosts == hosts


@pytest.mark.parametrize("text", ["v5p:8x8x4", "v5p:8x4x8", "v5p:4x8x8"])
def test_dimensions_may_come_in_any_order(text):
    assert topology.parse(text).shape == (4, 8, 8)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("v6e:32x32", "v6e:16x16*4"),
        ("v5e:4x16", "v5e:8x8"),
        ("v5e:16x17", "v5e:16x16"),
        ("v5p:2x2x3", "v5p:2x2x4"),
        ("v5p:4x4x6", "v5p:4x4x8"),
        ("v5p:4x8", "v5p:2x4x4"),
        ("v4:16x16x24", "v4:16x16x16*2"),
        ("h100:16", "h100:8*2"),
        ("h100:7*3", "h100:8*3"),
        ("v5e:0x4", "v5e:1x1"),
    ],
)
def test_what_nobody_offers_is_refused_with_the_nearest_that_is(text, advice):
    with pytest.raises(TopologyError, match=f"try {re.escape(advice)}$"):
        topology.parse(text)
    topology.parse(advice)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v6:4x4", "did you mean 'v6e'"),
        ("h10:8", "did you mean 'h100'"),
        ("gpu", "unknown kind 'gpu'; did you mean 'h100:8'"),
        ("gpu:8*2", "did you mean 'h100:8'"),
        ("tpu", "unknown kind 'tpu'; did you mean 'v5e:4x4'"),
        ("tpu:4x4", "did you mean 'v5e:4x4'"),
        ("v5e", "names no shape; write it as v5e:16x16"),
        ("v5e:4x4*0", "names no slice"),
        ("v5e-16", "not of the form KIND:SHAPE"),
        ("v5e:4x4x", "not of the form"),
        ("", "not of the form"),
        ("cpu:2x2", "as cpu:8"),
        ("cpu:0", "as cpu:8"),
        ("cpu:8*2", "as cpu:8"),
    ],
)
def test_a_name_that_means_nothing_is_refused_in_words(text, words):
    with pytest.raises(TopologyError, match=re.escape(words)):
        topology.parse(text)


@pytest.mark.parametrize(
    ("text", "wraps"),
    [
        ("v5e:16x16", (True, True)),
        ("v6e:8x16", (False, True)),
        ("v5e:4x4", (False, False)),
        ("v5p:4x4x4", (True, True, True)),
        ("v5p:2x4x4", (False, False, False)),
        ("h100:8", (False,)),
    ],
)
def test_a_torus_closes_where_the_slice_is_large_enough(text, wraps):
    assert topology.parse(text).wraps == wraps


@pytest.mark.parametrize("kind", ["v4", "v5p"])
def test_slices_of_three_dimensions_are_small_or_of_whole_cubes(kind):
    shapes = slices.offered(kind)
    assert len(shapes) == len(set(shapes))
    assert {(2, 2, 1), (4, 4, 4), (4, 8, 8), (8, 16, 16), (12, 16, 16)} <= set(shapes)
    for shape in shapes:
        assert math.prod(shape) < 64 or (all(side % 4 == 0 for side in shape) and list(shape) == sorted(shape))
    assert ((16, 16, 24) in shapes) == (kind == "v5p")


@pytest.mark.parametrize(
    ("text", "module", "command"),
    [("v5e:4x4", "libtpu", "pip install 'dfjax[tpu]'"), ("h100:8", "jax_cuda", "pip install 'dfjax[cuda]'")],
)
def test_a_missing_compiler_comes_with_how_to_get_it(text, module, command, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if module in name else found(name))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    with pytest.raises(TopologyError, match=re.escape(command)):
        topology.parse(text).devices()


def test_too_few_virtual_devices_are_refused_with_the_flag_that_gives_them(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    count = jax.device_count("cpu") + 1
    with pytest.raises(TopologyError, match=f"--xla_force_host_platform_device_count={count}"):
        topology.parse(f"cpu:{count}").devices()


def test_virtual_devices_are_made_if_asked_for_before_jax_starts():
    program = """
from dfjax.plan import slices, topology
found = topology.parse("cpu:3")
topology.prepare_environment(found)
print(len(found.devices()))
"""
    assert _run(program, XLA_FLAGS="--xla_backend_optimization_level=0") == 3


def test_the_users_own_flags_stay(monkeypatch):
    own = "--xla_force_host_platform_device_count=5 --xla_gpu_autotune_level=4"
    monkeypatch.setenv("XLA_FLAGS", own)
    topology.prepare_environment(topology.parse("cpu:2"))
    assert os.environ["XLA_FLAGS"] == own
    topology.prepare_environment(topology.parse("h100:8"))
    assert os.environ["XLA_FLAGS"] == f"{own} --xla_gpu_enable_triton_gemm=false"


@pytest.mark.gate(1)
@pytest.mark.parametrize("kind", TPUS)
def test_every_slice_on_offer_has_one_device_for_each_chip(kind):
    pytest.importorskip("libtpu", reason=NO_LIBTPU)
    before = dict(os.environ)
    for shape in slices.offered(kind):
        slice_ = Topology(kind, shape)
        devices = slice_.devices()
        assert len(devices) == slice_.chips
        assert hardware.find(devices[0].device_kind, devices[0].platform) is slice_.device
        assert len({device.process_index for device in devices}) == slice_.hosts
    assert dict(os.environ) == before


@pytest.mark.gate(1)
@pytest.mark.parametrize("text", ["v4:2x2x2*2", "v5e:1x1*2", "v5e:2x4*3", "v5p:2x2x1*2", "v6e:4x4*4"])
def test_several_slices_are_told_apart(text):
    pytest.importorskip("libtpu", reason=NO_LIBTPU)
    found = topology.parse(text)
    numbers = {device.slice_index for device in found.devices()}
    assert sorted(numbers) == list(range(found.slices))
    assert len({device.process_index for device in found.devices()}) == found.hosts


@pytest.mark.gate(1)
@pytest.mark.parametrize("kind", TPUS)
def test_a_program_that_is_too_large_meets_the_usable_memory_of_the_table(kind):
    pytest.importorskip("libtpu", reason=NO_LIBTPU)
    chips = topology.parse(f"{kind}:2x2" if kind in ("v5e", "v6e") else f"{kind}:2x2x1").devices()
    split = NamedSharding(Mesh(np.array(chips), ("data",)), PartitionSpec("data"))
    huge = jax.ShapeDtypeStruct((len(chips), 2**30, 60), jnp.float32, sharding=split)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED") as error:
        jax.jit(lambda x: x * 2 + jnp.sum(x)).lower(huge).compile()
    limit = re.search(r"available HBM \(([\d.]+)G\)", str(error.value))
    assert limit, error.value
    # Versions of libtpu differ a little in what they keep for themselves.
    assert float(limit[1]) * 2**30 == pytest.approx(hardware.DEVICES[kind].usable_bytes, rel=0.01)


def test_loading_the_compiler_says_nothing():
    pytest.importorskip("libtpu", reason=NO_LIBTPU)
    program = "from dfjax.plan import topology; print(len(topology.parse('v5e:4x4').devices()))"
    assert _run(program) == 16


# The plugin is 4.4 GB, too much for every machine that must run all tests: where it is missing there is no such test.
if importlib.util.find_spec("jax_cuda13_plugin"):

    def test_gpus_of_two_nodes_can_be_compiled_for():
        program = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from dfjax.plan import slices, topology
devices = topology.parse("h100:8*2").devices()
split = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec("data"))
square = jax.ShapeDtypeStruct((256, 256), jnp.bfloat16, sharding=split)
assert "all-gather" in jax.jit(jnp.matmul, out_shardings=split).lower(square, square).compile().as_text()
print(len(devices) * len({device.process_index for device in devices}))
"""
        assert _run(program) == 32


def _run(program: str, **environment: str) -> int:
    """What a program prints in a process of its own, where JAX has not started; it may say nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "TPU_", "JAX_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)
