"""The step that a plan compiles: it is the trainer's, its state is counted, and a refusal is read as bytes."""

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from configs import mmdit_2b_512
from dfjax import config as config_lib
from dfjax.config import ConfigError
from dfjax.core import trees
from dfjax.models import denoiser as denoiser_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import build, flops, memory, topology
from dfjax.training import optim, state, step
from tests import small
from tests.plan import targets

STDS = {"optim.ema_stds": (0.05, 0.1)}
MMDIT = {
    "data.name": "synthetic",
    "data.validation_split": "",
    "data.latent_channels": 4,
    "data.resolution": 64,
    "text.features": 16,
    "model.name": "mmdit",
    "model.patch": 2,
    "model.overlap": False,
}


def test_the_traced_program_is_the_one_that_training_jits():
    config = small.config()
    traced = build.trace(config, jax.devices()[:1])
    network = small.denoiser()
    optimizer = optim.make(config, network.described)
    there = state.abstract(network, optimizer, traced.mesh)
    where = jax.tree.map(lambda leaf: leaf.sharding, there)
    null = build.null_caption(config)
    own = step.make(network, config, optimizer, null, traced.mesh, where).trace(there, step.batch_shapes(config))
    assert own.lower().as_text() == traced.trace.lower().as_text()


def test_state_is_counted_by_kind():
    parts = build.parts(small.config(STDS), jax.devices()[:1])
    own = 4 * trees.size(parts.state.params)
    found = memory.state_bytes(parts.state)
    assert {kind: found[kind] for kind in ("params", "ema", "averages")} == {
        "params": own,
        "ema": own,
        "averages": 2 * own,
    }
    # Two moments, and a few counters.
    assert 0 <= found["optimizer"] - 2 * own < 64


def test_the_state_of_2b_falls_as_one_over_the_number_of_devices():
    """From 8 to 256 within 5%: nothing of size is left whole on every device."""
    values = config_lib.resolve(mmdit_2b_512.get_config().to_dict())
    network = denoiser_lib.make(values, values.text.vocab_size)
    optimizer = optim.make(values, network.described)

    def on_all(devices: int) -> int:
        mesh = AbstractMesh((1, 1, devices, 1, 1), mesh_lib.AXES, axis_types=(AxisType.Auto,) * 5)
        return devices * sum(memory.state_bytes(state.abstract(network, optimizer, mesh)).values())

    first = on_all(8)
    for devices in (16, 32, 64, 128, 256):
        assert first <= on_all(devices) < 1.05 * first


def test_a_network_over_frozen_features_is_traced_too():
    assert flops.jaxpr_flops(build.trace(small.config(MMDIT), jax.devices()[:1]).jaxpr).total > 0


def test_a_mesh_that_does_not_divide_is_named():
    with pytest.raises(ConfigError, match=r"mesh.fsdp=1"):
        build.trace(small.config({"mesh.fsdp": 3}), jax.devices()[:1])


def test_a_compiled_step_is_measured():
    # What every argument and result takes is known; the compiler may not need less.
    built = build.build(small.config(), topology.parse("cpu"))
    found = memory.measure(built)
    assert built.needed_bytes is None
    assert sum(found.state.values()) < found.arguments < found.peak
    assert found.working > 0
    assert found.peak == found.arguments + found.working + found.program


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (31.31G) "
            "exceeds available HBM (15.75G).",
            round(31.31 * 2**30),
        ),
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 900.5M of 15.75G hbm.", round(900.5 * 2**20)),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12 bytes.", None),
        ("INTERNAL: the total memory required for HLO temporaries (31.31G) exceeds available HBM (15.75G).", None),
    ],
)
def test_the_compilers_refusal_is_read_as_bytes(words, found):
    assert build.needed_bytes(words) == found


def test_libtpu_refuses_in_words_that_are_known():
    where = jax.sharding.SingleDeviceSharding(targets.mesh("v5e:2x2", x=4).devices.flat[0])
    wide = jax.ShapeDtypeStruct((60_000, 60_000), "float32", sharding=where)
    lowered = jax.jit(lambda x: (jax.numpy.sort(x, axis=0), jax.numpy.sort(x, axis=1))).lower(wide)
    with pytest.raises(jax.errors.JaxRuntimeError) as refusal:
        lowered.compile()
    # The argument and at least one of the results.
    assert build.needed_bytes(str(refusal.value)) >= 2 * 4 * 60_000**2
