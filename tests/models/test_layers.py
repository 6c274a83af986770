"""The pieces of the transformer, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from dfjax.models import layers
from dfjax.models.layout import ONE_DEVICE


def _normal(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def _score(query, key, angles, first, second):
    """The product of a query at one token and a key at another, both turned."""
    tokens = angles.shape[0]
    turned = [layers.rotate(jnp.broadcast_to(x, (1, tokens, 1, x.size)), angles)[0, :, 0] for x in (query, key)]
    return float(turned[0][first] @ turned[1][second])


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 6))
def test_on_a_line_only_the_distance_of_two_tokens_counts(first, second, shift):
    angles = layers.line_angles(16, 8)
    query, key = _normal(8), _normal(8, seed=1)
    near = _score(query, key, angles, first, second)
    assert near == pytest.approx(_score(query, key, angles, first + shift, second + shift), abs=1e-4)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_on_a_grid_only_the_offset_of_two_tokens_counts(row, column, down, right):
    prefix, rows, columns = 2, 8, 8
    angles = layers.axial_angles(rows, columns, 8, prefix=prefix)
    assert angles.shape == (prefix + rows * columns, 4)
    query, key = _normal(8), _normal(8, seed=1)

    def at(row, column):
        return prefix + row * columns + column

    here = _score(query, key, angles, at(row, column), at(2, 1))
    there = _score(query, key, angles, at(row + down, column + right), at(2 + down, 1 + right))
    assert here == pytest.approx(there, abs=1e-4)


def test_rows_and_columns_are_told_apart():
    angles = layers.axial_angles(4, 4, 8)
    query, key = _normal(8), _normal(8, seed=1)
    here, right, down = (_score(query, key, angles, 0, token) for token in (0, 1, 4))
    assert min(abs(here - right), abs(here - down), abs(right - down)) > 1e-2


def test_text_tokens_are_not_turned():
    x = _normal(1, 3, 2, 8)
    np.testing.assert_array_equal(layers.rotate(x, layers.axial_angles(1, 1, 8, prefix=3)[:3]), x)


def test_rms_takes_the_size_away():
    x = _normal(4, 64)
    np.testing.assert_allclose(jnp.mean(jnp.square(layers.rms(100 * x)), axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(layers.rms(100 * x), layers.rms(x), rtol=1e-4)
    assert layers.rms(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_attention_does_not_care_how_large_queries_and_keys_grow():
    attention = layers.Attention(16, 2, tokens="all", dtype=jnp.float32, rngs=nnx.Rngs(0))
    x, angles = _normal(1, 6, 16), layers.line_angles(6, 8)
    mask = jnp.ones((1, 6), bool)
    before = attention(x, angles, mask, ONE_DEVICE)
    attention.query.kernel[...] *= 100.0
    np.testing.assert_allclose(attention(x, angles, mask, ONE_DEVICE), before, atol=1e-4)


def test_near_and_far_levels_have_different_waves():
    waves = layers.fourier(jnp.array([0.0, 1e-3, 0.5, 1.0]), 256)
    assert waves.shape == (4, 256)
    distances = jnp.linalg.norm(waves[:, None] - waves[None], axis=-1) + 10 * jnp.eye(4)
    assert float(distances.min()) > 1.0


def test_linear_layers_start_at_zero_where_asked_and_keep_float32_parameters():
    rngs = nnx.Rngs(0)
    layer = layers.linear(4, 3, axes=(None, None), tokens="all", rngs=rngs, dtype=jnp.bfloat16, bias=True, zero=True)
    assert layer.kernel[...].dtype == layer.bias[...].dtype == jnp.float32
    out = layer(_normal(2, 4))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_array_equal(out, 0)
