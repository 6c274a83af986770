"""Pictures of every kind, made square."""

import io

import numpy as np
import pytest
from PIL import Image

from dfjax.data import transforms


def _file(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _plain(mode: str, colour) -> Image.Image:
    return Image.new(mode, (40, 30), colour)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (_plain("RGB", (10, 20, 30)), (10, 20, 30)),
        (_plain("RGBA", (10, 20, 30, 255)), (10, 20, 30)),
        (_plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        (_plain("RGB", (255, 0, 0)).quantize(4), (255, 0, 0)),
        (_plain("L", 77), (77, 77, 77)),
        (_plain("LA", (77, 0)), (255, 255, 255)),
        (Image.fromarray(np.full((30, 40), 77 * 257, np.uint16)), (77, 77, 77)),
    ],
    ids=["rgb", "opaque", "transparent", "palette", "grey", "grey with alpha", "16 bits"],
)
def test_every_kind_of_png_becomes_rgb_on_white(image, expected):
    pixels = transforms.render(_file(image), 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (8, 8, 3)))


def test_a_photograph_is_turned_upright():
    image = Image.fromarray(np.repeat([[[255] * 3], [[0] * 3]], 16, axis=0).repeat(32, axis=1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # Upside down.
    pixels = transforms.render(_file(image, "jpeg", exif=exif), 8)
    assert pixels[0].mean() < 10 < 245 < pixels[-1].mean()


def test_the_centre_is_kept():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    assert transforms.render(_file(Image.fromarray(image)), 10).min() == 255


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    pixels = transforms.render(_file(Image.fromarray(stripes)), 8)
    assert np.ptp(pixels[:, 1:-1].astype(int)) <= 40


def test_flip_mirrors_left_and_right():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    file = _file(Image.fromarray(image))
    np.testing.assert_array_equal(transforms.render(file, 8, flip=True), transforms.render(file, 8)[:, ::-1])


def test_recolouring_leaves_the_white_background():
    image = np.full((8, 8, 3), 255, np.uint8)
    image[2:6, 2:6] = (220, 30, 30)
    pixels = transforms.render(_file(Image.fromarray(image)), 8, colour="blue")
    assert (pixels[0] == 255).all()
    assert pixels[4, 4].argmax() == 2
