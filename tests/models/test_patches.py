"""Patches: cut and joined without a loss."""

import jax
import numpy as np
import pytest

from dfjax.models import patches

SIZES = [(2, 8, 8), (4, 16, 8)]


def _pictures(height, width):
    return jax.random.normal(jax.random.key(0), (2, height, width, 3))


@pytest.mark.parametrize(("patch", "height", "width"), SIZES)
def test_joining_patches_gives_the_picture_back(patch, height, width):
    pictures = _pictures(height, width)
    cut = patches.split(pictures, patch)
    assert cut.shape == (2, height // patch, width // patch, patch * patch * 3)
    np.testing.assert_array_equal(cut[1, 1, 0].reshape(patch, patch, 3), pictures[1, patch : 2 * patch, :patch])
    np.testing.assert_array_equal(patches.join(cut, patch), pictures)


@pytest.mark.parametrize(("patch", "height", "width"), SIZES)
def test_joining_windows_is_the_transpose_of_cutting_them(patch, height, width):
    pictures = _pictures(height, width)
    cut = patches.split_overlapping(pictures, patch)
    windows = jax.random.normal(jax.random.key(1), cut.shape)
    joined = patches.join_overlapping(windows, patch)
    assert joined.shape == pictures.shape
    np.testing.assert_allclose((cut * windows).sum(), (pictures * joined).sum(), rtol=1e-4)


@pytest.mark.parametrize(("patch", "height", "width"), SIZES)
def test_a_window_is_centred_on_its_patch_and_twice_as_wide(patch, height, width):
    pictures = _pictures(height, width)
    window = patches.split_overlapping(pictures, patch)[0, 1, 0]
    # Patch (1, 0) is at rows patch ... 2 patch and at the left edge, where what is outside counts as zero.
    padded = np.pad(pictures[0], ((0, 0), (patch // 2, 0), (0, 0)))
    seen = padded[patch // 2 : patch // 2 + 2 * patch, : 2 * patch]
    np.testing.assert_array_equal(np.sort(window), np.sort(seen.ravel()))


@pytest.mark.parametrize(("patch", "height", "width"), SIZES)
def test_every_pixel_lies_in_up_to_four_windows(patch, height, width):
    ones = np.ones((1, height, width, 1), np.float32)
    count = patches.join_overlapping(patches.split_overlapping(ones, patch), patch)[0, :, :, 0]
    half = patch // 2
    assert (count[half:-half, half:-half] == 4).all()
    assert count[0, 0] == 1
