"""Encoded pictures, which anybody may have made, to upright RGB."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dfjax import config
from dfjax.data.errors import BadRecord

# What browsers show and every Pillow reads. Others are not tried: EPS would run Ghostscript, and TIFF has pixels of any
# type and range.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS: int = config.Data().max_pixels


def decode(data: bytes, resolution: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture in one of :data:`FORMATS` as upright RGB, what is transparent on white.

    Of an animation it is the first frame. 16 bits are scaled to 8; CMYK is read inverted, as Adobe writes it and
    browsers show it; colour profiles are not applied.

    Args:
      resolution: a JPEG may come back smaller than it is stored, as long as no side is less than twice this.
      max_pixels: most pixels that the file's header may announce, or nothing is decoded.

    Raises:
      BadRecord: ``data`` is no such picture, is cut short, or announces too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, max_pixels)
            image.draft("RGB", (2 * resolution, 2 * resolution))
            return to_rgb(image)
    except (BadRecord, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BadRecord(f"{len(data)} bytes that are no picture in {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise BadRecord(f"a picture of more pixels than data.max_pixels={max_pixels}") from error
    except Exception as error:  # Pillow's parsers raise whatever they stumble over.
        raise BadRecord(f"a picture that cannot be decoded ({type(error).__name__}: {error})") from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if not width * height:
        raise BadRecord(f"a picture of {width} x {height} pixels")
    if width * height > max_pixels:
        raise BadRecord(f"a picture of {width} x {height} pixels, more than data.max_pixels={max_pixels}")


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode as upright RGB, what is transparent on white."""
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits on white. Pillow's own conversion clips to 255, and forgets the transparent level."""
    levels = np.asarray(image).astype(np.int64)
    grey = (levels >> 8).clip(0, 255).astype(np.uint8)
    grey[levels == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)


def of_array(pixels: np.ndarray) -> Image.Image:
    """A decoded picture as RGB: uint8 [height, width] or with 1, 3 or 4 channels. Raises BadRecord for others."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
        raise BadRecord(f"a picture is uint8 [height, width, 1, 3 or 4 channels], not {pixels.dtype} {pixels.shape}")
    return to_rgb(Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels))
