"""Pictures made square, mirrored and recoloured."""

import numpy as np
from PIL import Image

from dfjax.data import transforms
from tests.data import kinds


def test_the_centre_is_kept():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    assert transforms.render(kinds.encode(Image.fromarray(image)), 10).min() == 255


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    pixels = transforms.render(kinds.encode(Image.fromarray(stripes)), 8)
    assert np.ptp(pixels[:, 1:-1].astype(int)) <= 40


def test_flip_mirrors_left_and_right():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(transforms.vary(pixels, flip=True), pixels[:, ::-1])


def test_recolouring_leaves_the_white_background():
    pixels = np.full((8, 8, 3), 255, np.uint8)
    pixels[2:6, 2:6] = (220, 30, 30)
    blue = transforms.vary(pixels, colour="blue")
    assert (blue[0] == 255).all()
    assert blue[4, 4].argmax() == 2
