"""Pictures: bytes to [-1, 1] and back, and grids of them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8


def to_unit(image: UInt8[Array, "..."]) -> Float[Array, "..."]:
    """uint8 0..255 to float32 [-1, 1]: x / 127.5 - 1."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Float [-1, 1] to uint8, rounded to the nearest and clipped. The inverse of :func:`to_unit`."""
    return jnp.clip(jnp.round((image.astype(jnp.float32) + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def grid(
    images: UInt8[np.ndarray, "n h w c"], columns: int, scale: int = 1, gap: int = 2
) -> UInt8[np.ndarray, "H W c"]:
    """Pictures row by row on white, each pixel ``scale`` pixels wide, ``gap`` pixels apart.

    Raises:
      ValueError: there is no picture, or fewer than one column.
    """
    if columns < 1 or len(images) < 1:
        raise ValueError(f"a grid needs at least one picture and one column, not {len(images)} and {columns}")
    images = np.repeat(np.repeat(np.asarray(images), scale, axis=1), scale, axis=2)
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
