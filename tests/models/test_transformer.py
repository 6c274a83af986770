"""The denoiser as a whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.core import trees
from tests import small

T = jnp.array([0.2, 0.9])


@functools.cache
def _network(*values):
    """The small network with ``values``, random parameters, and its jitted function."""
    network = small.denoiser(dict(values))
    return network, small.params(network), jax.jit(network.apply)


def _apply(ids, values=None, z=None):
    _, params, apply = _network(*(values or {}).items())
    return apply(params, _z() if z is None else z, T, jnp.asarray(ids, jnp.int32))


def _z():
    return jax.random.normal(jax.random.key(5), (2, 16, 16, 3))


IDS = np.array([[2, 40, 41, 42, 3, 0, 0, 0], [2, 50, 3, 0, 0, 0, 0, 0]])


def test_a_new_network_has_the_announced_parameters_and_answers_zero():
    network, _, apply = _network()
    made = jax.jit(network.init)(jax.random.key(0))
    np.testing.assert_array_equal(apply(made, _z(), T, jnp.asarray(IDS)), 0)
    announced = trees.named_leaves(network.abstract_params())
    assert {name: leaf.shape for name, leaf in trees.named_leaves(made).items()} == {
        name: leaf.shape for name, leaf in announced.items()
    }
    # Layers are stacked, so that one is compiled whatever the depth.
    assert announced["blocks/attention/query/kernel"].shape == (2, 32, 32)


@pytest.mark.parametrize("overlap", [True, False])
def test_it_answers_for_every_pixel_in_float32(overlap):
    out = _apply(IDS, {} if overlap else {"model.overlap": False})
    assert out.shape == (2, 16, 16, 3)
    assert out.dtype == jnp.float32
    assert bool(jnp.all(jnp.any(out != 0, axis=(0, 3))))


def test_how_much_padding_follows_a_caption_does_not_matter():
    longer = np.pad(IDS, ((0, 0), (0, 4)))
    np.testing.assert_allclose(_apply(longer, {"text.max_tokens": 12}), _apply(IDS), atol=1e-5)


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("a word", [[2, 40, 41, 99, 3, 0, 0, 0], IDS[1]]),
        ("the order of words", [[2, 41, 40, 42, 3, 0, 0, 0], IDS[1]]),
        ("one word less", [[2, 40, 41, 3, 0, 0, 0, 0], IDS[1]]),
    ],
)
def test_the_caption_matters_to_its_own_picture_alone(what, other):
    before, after = _apply(IDS), _apply(np.array(other))
    assert float(jnp.abs(after[0] - before[0]).max()) > 1e-4, what
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)


def test_a_pixel_matters_to_the_whole_picture():
    moved = jnp.abs(_apply(IDS, z=_z().at[0, 0, 0, 0].add(1.0)) - _apply(IDS))
    assert float(moved[0, -4:, -4:].max()) > 1e-6
    np.testing.assert_allclose(moved[1], 0, atol=1e-6)


@functools.cache
def _gradients(*values):
    network, params, _ = _network(*values)

    def loss(params):
        return jnp.mean(jnp.square(network.apply(params, _z(), T, jnp.asarray(IDS))))

    loss, gradients = jax.jit(jax.value_and_grad(loss))(params)
    return float(loss), trees.named_leaves(gradients)


@pytest.mark.gate(1)
@pytest.mark.parametrize("values", [{"model.remat": "dots"}, {"model.remat": "full"}, {"model.unroll": 2}], ids=str)
def test_what_saves_memory_or_time_changes_no_number(values):
    (loss, gradients), (wanted_loss, wanted) = _gradients(*values.items()), _gradients()
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    for name, leaf in wanted.items():
        size = float(jnp.abs(leaf).max())
        assert size > 0, name
        np.testing.assert_allclose(gradients[name], leaf, atol=1e-5 * size + 1e-9, err_msg=name)


def test_computing_in_bfloat16_keeps_float32_outside():
    network = _network(("model.dtype", "bfloat16"))[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(network.abstract_params())} == {jnp.dtype("float32")}
    rough = _apply(IDS, {"model.dtype": "bfloat16"})
    exact = _apply(IDS)
    assert rough.dtype == jnp.float32
    difference = float(jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact))
    assert 1e-5 < difference < 0.05


def test_a_network_may_have_no_text_layers():
    assert float(jnp.abs(_apply(IDS, {"text.depth": 0})).max()) > 0
