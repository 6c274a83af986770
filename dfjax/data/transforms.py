"""Pictures to uint8 RGB arrays of the size that is trained."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dfjax.data import decoding
from dfjax.data.errors import BadRecord

# Height and width.
Size = tuple[int, int]


def fit(image: Image.Image, size: Size) -> UInt8[np.ndarray, "height width 3"]:
    """The largest central part of the proportions of ``size``, resized to it with antialiasing.

    Hamming's filter is as sharp as the bicubic one when shrinking, and leaves no bright and dark seams along edges as
    Lanczos does, which a model would learn to draw.
    """
    height, width = size
    if image.width * height > image.height * width:
        part = max(1, image.height * width // height), image.height
    else:
        part = image.width, max(1, image.width * height // width)
    left, top = (image.width - part[0]) // 2, (image.height - part[1]) // 2
    method = Image.Resampling.HAMMING if part[1] > height else Image.Resampling.BICUBIC
    return np.asarray(image.resize((width, height), method, box=(left, top, left + part[0], top + part[1])))


def render(
    image: bytes | np.ndarray | None, size: Size, max_pixels: int = decoding.MAX_PIXELS
) -> UInt8[np.ndarray, "height width 3"]:
    """A record's picture, encoded or decoded, at ``size``. Raises BadRecord where there is none, or none to be had."""
    if image is None:
        raise BadRecord("it has no picture")
    if isinstance(image, np.ndarray):
        return fit(decoding.of_array(image), size)
    return fit(decoding.decode(image, max(size), max_pixels), size)


def mirror(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Left and right changed."""
    return np.ascontiguousarray(pixels[:, ::-1])
