"""A network of one's own, whose parameters nobody described: it trains, and where a mesh would split it, is refused."""

import json
import logging

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from dfjax.checkpoint.workdir import Workdir
from dfjax.core.errors import ConfigError
from dfjax.inputs import network as network_lib
from dfjax.models import parameters
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import loop
from dfjax.training import state as state_lib
from tests import small
from tests.multidevice.layouts import FEATURES

RUN = FEATURES | {"train.num_steps": 2, "optim.warmup_steps": 0, "train.log_every_steps": 1}


class Own(nnx.Module):
    """A picture's average colour through one layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.layer = nnx.Linear(3, 4, rngs=rngs)

    def __call__(self, z, t, caption):
        return z + self.layer(jnp.mean(z, axis=(1, 2)))[:, None, None, :3]


def _own() -> network_lib.Network:
    return network_lib.make(small.config(), denoiser=lambda model, inputs, layout, rngs: Own(rngs))


def _mesh(**sizes):
    return jax.sharding.AbstractMesh(tuple(sizes.get(axis, 1) for axis in mesh_lib.AXES), mesh_lib.AXES)


def test_an_undescribed_parameter_is_refused_where_the_mesh_would_split_it():
    network = _own()
    optimizer = small.optimizer(network)
    with pytest.raises(ConfigError, match=r"'mesh\.fsdp': .* parameter layer/bias \(4,\) .*parameters\.describe"):
        state_lib.abstract(network, optimizer, _mesh(fsdp=2))
    shapes = state_lib.abstract(network, optimizer, _mesh(data=8))
    assert not any(any(leaf.sharding.spec) for leaf in jax.tree.leaves(shapes.params))


def test_a_network_that_does_not_say_its_work_has_plain_attention_over_tokens_that_stay_together():
    network = _own()
    mesh = jax.make_mesh((1,) * 5, mesh_lib.AXES, devices=jax.devices()[:1])
    assert network.denoiser.work is None
    # A kernel that this platform lacks would be refused, if any were wanted.
    model = small.config({"model.attention": "splash"}).model
    assert layout.make(model, network.denoiser.work, mesh).attend.keywords == {"kernel": "xla"}
    with pytest.raises(ConfigError, match="does not say how many"):
        mesh_lib.check_divides(_mesh(context=2), network.denoiser.work, 16)


def _trained(workdir) -> list[str]:
    assert loop.train(small.config(RUN), workdir) == 2
    lines = [json.loads(line) for line in Workdir(workdir).metrics.read_text().splitlines()]
    return sorted({name for line in lines for name in line})


@pytest.mark.long
def test_one_stream_over_features_trains_and_without_a_description_it_does_but_for_its_utilization(
    tmp_path, monkeypatch, caplog
):
    whole = _trained(tmp_path / "whole")
    assert "train/mfu" in whole
    describe = parameters.described

    def few(state):
        return {name: known for name, known in describe(state).items() if name != "patch_in/kernel"}

    monkeypatch.setattr(parameters, "described", few)
    with caplog.at_level(logging.WARNING):
        assert _trained(tmp_path / "few") == [name for name in whole if name != "train/mfu"]
    assert len([record for record in caplog.records if "patch_in/kernel" in record.getMessage()]) == 1
