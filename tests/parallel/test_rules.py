"""Which parameter is split over which axis."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from dfjax.config import ConfigError
from dfjax.core import trees
from dfjax.models.parameters import AXES, Description
from dfjax.parallel import mesh, rules
from tests import small
from tests.models.networks import NETWORKS

MESH = jax.sharding.AbstractMesh((1, 2, 2, 2, 1), mesh.AXES)
DATA_ALONE = jax.sharding.AbstractMesh((1, 8, 1, 1, 1), mesh.AXES)
MATRIX = {"mlp/up/kernel": Description(("embed", "hidden"))}


@pytest.mark.parametrize(
    ("network", "name", "expected"),
    [
        ("ids", "blocks/attention/query/kernel", P(None, "fsdp", "tensor")),
        ("ids", "blocks/attention/out/kernel", P(None, "tensor", "fsdp")),
        ("ids", "blocks/attention/gain", P(None, None, None)),
        ("ids", "blocks/modulation/kernel", P(None, "fsdp", None)),
        ("ids", "blocks/modulation/bias", P(None, "fsdp")),
        ("ids", "text/blocks/mlp/gate/kernel", P(None, "fsdp", "tensor")),
        ("ids", "text/blocks/mlp/down/kernel", P(None, "tensor", "fsdp")),
        ("ids", "text/embedding/embedding", P(None, "fsdp")),
        ("ids", "patch_in/kernel", P(None, "fsdp")),
        ("ids", "patch_in/bias", P(None)),
        ("ids", "patch_out/kernel", P("fsdp", None)),
        ("ids", "log_variance/out/kernel", P(None, None)),
        ("features", "text_in/kernel", P(None, "fsdp")),
        ("mmdit", "blocks/text/attention/value/kernel", P(None, "fsdp", "tensor")),
        ("mmdit", "blocks/image/mlp/up/kernel", P(None, "fsdp", "tensor")),
        ("mmdit", "text_in/kernel", P(None, "fsdp")),
        ("mmdit", "time_in/kernel", P(None, "fsdp")),
        ("mmdit", "time_out/kernel", P("fsdp", None)),
        ("mmdit", "pooled/kernel", P("fsdp", None)),
        ("mmdit", "final/kernel", P("fsdp", None)),
    ],
)
def test_a_parameter_lies_as_its_layer_says(network, name, expected):
    made = small.denoiser(NETWORKS[network] | {"diffusion.learned_variance": True})
    shape = trees.named_leaves(made.abstract_params())[name].shape
    assert rules.spec(name, shape, made.described, MESH) == expected


def test_every_axis_that_a_layer_may_name_is_in_the_table():
    assert set(rules.MESH_AXES) == {None, *AXES}


def test_a_size_that_an_axis_does_not_divide_is_refused_with_parameter_and_key():
    with pytest.raises(
        ConfigError, match=r"'mesh\.tensor': 2 does not divide the 33 of parameter mlp/up/kernel"
    ) as error:
        rules.spec("mlp/up/kernel", (32, 33), MATRIX, MESH)
    assert "model.width" in str(error.value)


def test_a_description_of_other_axes_than_the_parameter_has_is_refused():
    with pytest.raises(ConfigError, match=r"mlp/up/kernel \(2, 32, 32\) is described with the axes \('embed', 'hid"):
        rules.spec("mlp/up/kernel", (2, 32, 32), MATRIX, MESH)


@pytest.mark.parametrize("axis", ["fsdp", "tensor"])
def test_a_parameter_that_nobody_described_is_refused_where_the_mesh_splits_parameters(axis):
    sizes = tuple(2 if name == axis else 1 for name in mesh.AXES)
    shapes = {"mine": {"kernel": jax.ShapeDtypeStruct((32, 32), jnp.float32)}}
    with pytest.raises(ConfigError, match=rf"'mesh\.{axis}': .* mine/kernel \(32, 32\) .*parameters\.describe"):
        rules.shardings({}, shapes, jax.sharding.AbstractMesh(sizes, mesh.AXES))
    assert rules.spec("mine/kernel", (32, 32), {}, DATA_ALONE) == P(None, None)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_matrix_of_the_network_is_split(network):
    made = small.denoiser(NETWORKS[network])
    matrices = [n for n in trees.named_leaves(made.abstract_params()) if n.endswith(("kernel", "embedding"))]
    assert len(matrices) > 10
    for name in matrices:
        assert "fsdp" in rules.axes(made.described[name]), name
