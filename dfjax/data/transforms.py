"""Encoded pictures to square uint8 RGB arrays of the training resolution."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from dfjax.data import recolour as recolouring


def decode(data: bytes, resolution: int) -> Image.Image:
    """Any PNG, JPEG, ... as an upright RGB picture, what is transparent on white.

    Args:
      resolution: a JPEG may come back smaller than it is stored, as long as no side is less than twice this.

    Raises:
      OSError, SyntaxError, ValueError, Image.DecompressionBombError: ``data`` is no picture that can be decoded.
    """
    try:
        file: Image.Image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        # Pillow's own message has an address in memory, and so is another one each time.
        raise UnidentifiedImageError("no picture in a known format") from error
    with file as image:
        image.draft("RGB", (2 * resolution, 2 * resolution))
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips them to 255.
            image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")


def square(image: Image.Image, resolution: int) -> UInt8[np.ndarray, "resolution resolution 3"]:
    """The central square, resized with antialiasing.

    Hamming's filter is as sharp as the bicubic one when shrinking, and leaves no bright and dark seams along edges as
    Lanczos does, which a model would learn to draw.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    method = Image.Resampling.HAMMING if side > resolution else Image.Resampling.BICUBIC
    return np.asarray(image.resize((resolution, resolution), method, box=(left, top, left + side, top + side)))


def render(
    data: bytes, resolution: int, *, flip: bool = False, colour: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A record's picture as training sees it: uint8 (resolution, resolution, 3).

    Args:
      flip: mirror it left to right.
      colour: show it in this hue (see :data:`dfjax.data.recolour.HUES`); None leaves its own colours.
    """
    return vary(square(decode(data, resolution), resolution), flip=flip, colour=colour)


def vary(
    pixels: UInt8[np.ndarray, "h w 3"], *, flip: bool = False, colour: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A square picture in another hue, mirrored, or both; see :func:`render`."""
    if colour is not None:
        unit = recolouring.recolour(pixels.astype(np.float32) / 255, colour)
        pixels = np.round(unit * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, ::-1] if flip else pixels)
