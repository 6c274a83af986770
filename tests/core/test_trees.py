"""Leaves by name."""

import jax.numpy as jnp
from flax import struct

from dfjax.core import trees


@struct.dataclass
class _State:
    step: object
    params: object


TREE = _State(step=jnp.zeros(()), params={"layers": [{"kernel": jnp.zeros((2, 3))}, {"kernel": jnp.zeros(4)}]})


def test_a_leaf_is_named_by_its_path():
    assert list(trees.named_leaves(TREE)) == ["step", "params/layers/0/kernel", "params/layers/1/kernel"]


def test_a_map_is_told_each_name():
    named = trees.map_named(lambda name, leaf: (name, leaf.shape), TREE)
    assert named.params["layers"][1]["kernel"] == ("params/layers/1/kernel", (4,))


def test_size_counts_scalars():
    assert trees.size(TREE) == 1 + 6 + 4
