"""Which parameter is split over which axis."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec as P

from dfjax.config import ConfigError
from dfjax.core import trees
from dfjax.parallel import mesh, rules
from tests import small

MESH = jax.sharding.AbstractMesh((1, 2, 2, 2, 1), mesh.AXES)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("blocks/attention/query/kernel", (2, 32, 32), P(None, "fsdp", "tensor")),
        ("blocks/attention/query/kernel", (32, 32), P("fsdp", "tensor")),
        ("blocks/attention/out/kernel", (2, 32, 32), P(None, "tensor", "fsdp")),
        ("text/blocks/mlp/down/kernel", (1, 88, 32), P(None, "tensor", "fsdp")),
        ("blocks/modulation/bias", (2, 192), P(None, "fsdp")),
        ("blocks/attention/gain", (2, 2, 1), P(None, None, None)),
        ("1/0/mu/patch_in/kernel", (192, 32), P(None, "fsdp")),
        ("1/0/count", (), P()),
    ],
)
def test_a_path_finds_its_rule(name, shape, expected):
    found = rules.spec(name, shape, MESH)
    padded = (*found, *[None] * (len(shape) - len(found)))
    assert P(*padded) == P(*expected)


def test_a_size_that_an_axis_does_not_divide_is_refused_with_parameter_and_key():
    with pytest.raises(
        ConfigError, match=r"'mesh\.tensor': 2 does not divide the 33 of parameter mlp/up/kernel"
    ) as error:
        rules.spec("mlp/up/kernel", (32, 33), MESH)
    assert "model.width" in str(error.value)


def test_every_matrix_of_the_network_and_its_moments_is_split():
    params = small.denoiser().abstract_params()
    state = jax.eval_shape(lambda: optax.adamw(1e-3).init(jax.tree.map(lambda x: jnp.zeros(x.shape), params)))
    matrices = 0
    for name, leaf in trees.named_leaves({"params": params, "optimizer": state}).items():
        if name.endswith(("kernel", "embedding")):
            matrices += 1
            assert "fsdp" in rules.spec(name, leaf.shape, MESH), name
    assert matrices == 3 * sum(n.endswith(("kernel", "embedding")) for n in trees.named_leaves(params)) > 30
