"""Pictures cut to size, and mirrored."""

import numpy as np
import pytest
from PIL import Image

from dfjax.data import transforms
from dfjax.data.errors import BadRecord
from tests.data import kinds


def test_the_centre_is_kept():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    assert transforms.render(kinds.encode(Image.fromarray(image)), (10, 10)).min() == 255


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    pixels = transforms.render(kinds.encode(Image.fromarray(stripes)), (8, 8))
    assert np.ptp(pixels[:, 1:-1].astype(int)) <= 40


def test_flip_mirrors_left_and_right():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(transforms.mirror(pixels), pixels[:, ::-1])


def test_the_largest_part_of_other_proportions_is_kept():
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30] = 255
    for size, level in (((8, 16), 255), ((16, 8), 127)):
        pixels = transforms.render(kinds.encode(Image.fromarray(image)), size)
        assert pixels.shape == (*size, 3)
        assert abs(pixels.mean() - level) < 8


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3), (8, 8, 4)])
def test_a_decoded_picture_is_taken_as_it_is(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels[..., 3:] = 255
    shown = transforms.render(pixels, (8, 8))
    np.testing.assert_array_equal(shown, np.broadcast_to(pixels.reshape(8, 8, -1)[..., :3], (8, 8, 3)))


@pytest.mark.parametrize(
    "image", [None, np.zeros((8, 8, 3)), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8), np.uint8)]
)
def test_what_is_no_picture_is_a_bad_record(image):
    with pytest.raises(BadRecord):
        transforms.render(image, (8, 8))
