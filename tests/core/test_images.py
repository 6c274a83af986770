"""Pictures to numbers and back, and sheets of them."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core import images


def test_every_byte_comes_back():
    levels = jnp.arange(256, dtype=jnp.uint8)
    unit = images.to_unit(levels)
    assert unit.dtype == jnp.float32
    assert (float(unit[0]), float(unit[-1])) == (-1.0, 1.0)
    np.testing.assert_array_equal(images.to_uint8(unit), levels)


def test_values_are_rounded_to_the_nearest_and_clipped():
    np.testing.assert_array_equal(images.to_uint8(jnp.array([-3.0, -1 + 0.6 / 127.5, 2.0])), [0, 1, 255])


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_a_grid_shows_each_picture_in_its_place(count, columns, scale):
    pictures = np.arange(count * 2 * 3 * 3, dtype=np.uint8).reshape(count, 2, 3, 3)
    sheet = images.grid(pictures, columns, scale=scale, gap=1)
    rows = -(-count // columns)
    assert sheet.shape == (rows * (2 * scale + 1) + 1, columns * (3 * scale + 1) + 1, 3)
    for i, picture in enumerate(pictures):
        top, left = 1 + i // columns * (2 * scale + 1), 1 + i % columns * (3 * scale + 1)
        np.testing.assert_array_equal(sheet[top : top + 2 * scale : scale, left : left + 3 * scale : scale], picture)
    assert (sheet[0] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [(0, 1), (2, 0)])
def test_an_empty_grid_is_refused(count, columns):
    with pytest.raises(ValueError, match="at least one picture and one column"):
        images.grid(np.zeros((count, 2, 2, 3), np.uint8), columns)
