"""Random streams: a function of names and numbers, and of nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core import rng

numbers = st.tuples(st.integers(0, 2**31 - 1), st.sampled_from(["noise", "init"]), st.integers(0, 9), st.integers(0, 3))


def _bits(parts):
    return tuple(int(x) for x in jax.random.key_data(rng.stream(*parts)))


@given(numbers, numbers)
def test_streams_are_equal_only_where_all_their_parts_are(first, second):
    assert (_bits(first) == _bits(second)) == (first == second)


def test_a_stream_keeps_its_bits_over_versions():
    # Written down once: a resumed run of another version must draw the same.
    assert _bits((7, "noise", 3, 1)) == (3298167150, 1249358312)


def test_a_traced_step_draws_the_same():
    traced = jax.jit(lambda step, attempt: rng.stream(7, "noise", step, attempt))(jnp.int32(3), jnp.int32(1))
    assert tuple(int(x) for x in jax.random.key_data(traced)) == _bits((7, "noise", 3, 1))


def test_an_example_has_its_key_in_whatever_company():
    key = rng.stream(0, "noise")
    whole = jax.random.key_data(rng.per_example(key, jnp.arange(6)))
    part = jax.random.key_data(rng.per_example(key, jnp.array([4, 1])))
    np.testing.assert_array_equal(part, whole[jnp.array([4, 1])])
    assert len({tuple(row) for row in np.asarray(whole).tolist()}) == 6
