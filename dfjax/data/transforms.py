"""Pictures to square uint8 RGB arrays of the training resolution."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dfjax.data import decoding
from dfjax.datasets import recolour as recolouring


def square(image: Image.Image, resolution: int) -> UInt8[np.ndarray, "resolution resolution 3"]:
    """The central square, resized with antialiasing.

    Hamming's filter is as sharp as the bicubic one when shrinking, and leaves no bright and dark seams along edges as
    Lanczos does, which a model would learn to draw.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    method = Image.Resampling.HAMMING if side > resolution else Image.Resampling.BICUBIC
    return np.asarray(image.resize((resolution, resolution), method, box=(left, top, left + side, top + side)))


def render(data: bytes, resolution: int, max_pixels: int = decoding.MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """A record's picture, uint8 (resolution, resolution, 3), in its own colours. Raises BadRecord as decoding does."""
    return square(decoding.decode(data, resolution, max_pixels), resolution)


def vary(
    pixels: UInt8[np.ndarray, "h w 3"], *, flip: bool = False, colour: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A square picture in the hue ``colour`` (see :data:`dfjax.datasets.recolour.HUES`), mirrored, or both."""
    if colour is not None:
        unit = recolouring.recolour(pixels.astype(np.float32) / 255, colour)
        pixels = np.round(unit * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, ::-1] if flip else pixels)
