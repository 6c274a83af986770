"""What the training step moves between chips, read from the program that libtpu compiles of it.

Weights are gathered once forward and once backward in the compute type, their gradients scattered in float32, and
nothing else of size moves: at most 1.1 times that, with a planted gather above it. Activations do not move over the
batch axes: what moves there is the same for any batch.
"""

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding

from dfjax import config as config_lib
from dfjax.inputs import network as network_lib
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import traffic
from dfjax.training import state, step
from tests import small
from tests.plan import targets

pytestmark = [pytest.mark.slow, pytest.mark.long]

# A small MMDiT whose matrices are still large beside everything that is not split.
VALUES = {
    "data.name": "synthetic",
    "data.validation_split": "",
    "data.latent_channels": 16,
    "data.resolution": 128,
    "text.features": 512,
    "text.max_tokens": 64,
    "model.name": "mmdit",
    "model.width": 256,
    "model.heads": 4,
    "model.depth": 4,
    "model.patch": 2,
    "model.overlap": False,
    "model.dtype": "bfloat16",
    "model.remat": "full",
    "model.attention": "xla",
    "train.batch_size": 64,
}


def _network(values=None):
    return network_lib.make(small.config(VALUES | (values or {})))


def _read(values=None, sizes=None):
    """The collectives of a compiled step on v5e:4x4, and the bytes that each chip must send for its split weights."""
    sizes = {"replica": 1, "data": 1, "fsdp": 16, "tensor": 1, "context": 1} | (sizes or {})
    network = _network(values)
    flat = targets.mesh("v5e:4x4", all=16).devices.ravel().tolist()
    mesh = mesh_lib.make(config_lib.Mesh(**sizes), flat)
    optimizer = small.optimizer(network)
    shapes = state.abstract(network, optimizer, mesh)
    rows = NamedSharding(mesh, mesh_lib.BATCH)
    batch = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows)
        for name, leaf in network.inputs.batch(network.config.train.batch_size).items()
    }
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    jitted = step.make(network, optimizer, mesh, shardings)
    found = traffic.collectives(jitted.lower(shapes, batch).compile().as_text(), mesh)
    split = sum(x.size for x in jax.tree.leaves(shapes.params) if "fsdp" in x.sharding.spec)
    n = sizes["fsdp"]
    return found, (2 + 2 + 4) * split * (n - 1) / n


@pytest.fixture(scope="module")
def fsdp():
    return _read()


def test_only_weights_and_their_gradients_move_and_each_as_often_as_it_must(fsdp):
    found, ideal = fsdp
    assert ideal * 0.98 <= traffic.link_bytes(found) <= ideal * 1.1
    kinds = {total.kind: total.link_bytes for total in traffic.by_axis(found)}
    assert kinds["all-gather"] == pytest.approx(ideal / 2, rel=0.03)
    assert kinds["reduce-scatter"] == pytest.approx(ideal / 2, rel=0.1)


def test_weights_move_in_the_compute_type_and_gradients_in_float32(fsdp):
    found, _ = fsdp
    large = [c for c in found if c.payload_bytes > 100_000]
    assert {c.dtype for c in large if c.kind == "all-gather"} == {"bf16"}
    assert {c.dtype for c in large if c.kind == "reduce-scatter"} == {"f32"}


def test_a_planted_gather_is_seen(monkeypatch):
    """Without its gathered weights kept out, the forward pass's are gathered once more."""
    plain = layout._gathered

    def twice(dimension, dtype, stages, leaf):
        first = plain(dimension, dtype, stages, leaf)
        return first + 1e-3 * plain(dimension, dtype, stages, 2.0 * leaf + 1.0)

    monkeypatch.setattr(layout, "_gathered", twice)
    found, ideal = _read()
    assert traffic.link_bytes(found) > 1.4 * ideal


@pytest.fixture(scope="module")
def copies():
    return _read(sizes={"data": 4, "fsdp": 4})


def test_what_moves_over_the_batch_axes_does_not_grow_with_the_batch(copies):
    few, _ = copies
    many, _ = _read({"train.batch_size": 4 * VALUES["train.batch_size"]}, {"data": 4, "fsdp": 4})
    assert traffic.link_bytes(many) == pytest.approx(traffic.link_bytes(few), rel=1e-3)
    assert {total.kind for total in traffic.by_axis(many)} <= {"all-gather", "reduce-scatter", "all-reduce"}


def test_planted_activations_that_move_are_seen(monkeypatch, copies):
    """The tokens of each layer go to the next device of the axis, and back."""
    plain = layout.manual

    def there_and_back(tokens):
        size = jax.lax.axis_size("fsdp")
        there = [(i, (i + 1) % size) for i in range(size)]
        moved = jax.lax.ppermute(tokens, "fsdp", there)
        return jax.lax.ppermute(moved * 1.001, "fsdp", [(to, by) for by, to in there])

    monkeypatch.setattr(layout, "manual", lambda *of: dataclasses.replace(plain(*of), tokens=there_and_back))
    few, _ = copies
    many, _ = _read({"train.batch_size": 4 * VALUES["train.batch_size"]}, {"data": 4, "fsdp": 4})
    assert traffic.link_bytes(many) > 1.05 * traffic.link_bytes(few)
    assert "collective-permute" in {total.kind for total in traffic.by_axis(many)}


def test_copies_of_the_parameters_sum_gradients_only_over_data(copies):
    found, _ = copies
    over_data = [total for total in traffic.by_axis(found) if "data" in total.axes]
    assert {total.kind for total in over_data} <= {"all-reduce", "reduce-scatter", "all-gather"}
    parameters = sum(np.prod(x.shape) for x in jax.tree.leaves(small_params()))
    # An all-reduce of float32 parts: 2 (n - 1) / n of what a chip holds, which is a quarter.
    assert sum(t.link_bytes for t in over_data) == pytest.approx(2 * 3 / 4 * 4 * parameters / 4, rel=0.1)


def test_over_context_only_keys_values_and_the_parts_of_gradients_move():
    found, ideal = _read(sizes={"fsdp": 8, "context": 2})
    by_axes = {}
    for total in traffic.by_axis(found):
        by_axes[total.axes] = by_axes.get(total.axes, 0) + total.link_bytes
    assert set(by_axes) <= {("fsdp",), ("context",), ("fsdp", "context")}
    assert by_axes[("fsdp",)] <= ideal * 1.1
    # Keys and values of a layer, gathered forward, again backward, their gradients scattered; then an all-reduce of the
    # float32 part of the gradients that a chip holds, an eighth.
    tokens, rows, width, depth = 64 + 64, 8, VALUES["model.width"], VALUES["model.depth"]
    keys_and_values = 3 * depth * 2 * rows * tokens * width * 2 / 2
    parameters = sum(np.prod(x.shape) for x in jax.tree.leaves(small_params()))
    assert by_axes[("context",)] <= (keys_and_values + 4 * parameters / 8) * 1.2


def small_params():
    return _network().abstract_params()
