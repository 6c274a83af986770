"""Pictures to patch tokens and back, with patches that may overlap.

Plain patches are predicted apart from each other, and their borders show as seams. Here a token may read and write a
window twice the patch's side, centred on its patch; where windows meet, their values are added.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]


def split(images: Images, patch: int) -> Float[Array, "batch rows columns values"]:
    """Cut pictures into patches; values are ordered (row, column, channel)."""
    batch, height, width, channels = images.shape
    grid = images.reshape(batch, height // patch, patch, width // patch, patch, channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // patch, width // patch, patch * patch * channels)


def join(patches: Float[Array, "batch rows columns values"], patch: int) -> Images:
    """The inverse of :func:`split`."""
    batch, rows, columns, values = patches.shape
    grid = patches.reshape(batch, rows, columns, patch, patch, values // patch**2)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * patch, columns * patch, values // patch**2)


def split_overlapping(images: Images, patch: int) -> Float[Array, "batch rows columns values"]:
    """Windows of side 2 * patch at a stride of ``patch``, zero outside the picture: 4 times the values."""
    half = patch // 2
    padded = jnp.pad(images, ((0, 0), (half, half), (half, half), (0, 0)))
    quarter = split(padded, patch)
    corners = (quarter[:, :-1, :-1], quarter[:, :-1, 1:], quarter[:, 1:, :-1], quarter[:, 1:, 1:])
    return jnp.concatenate(corners, axis=-1)


def join_overlapping(windows: Float[Array, "batch rows columns values"], patch: int) -> Images:
    """Add windows of side 2 * patch where they overlap: the transpose of :func:`split_overlapping`."""
    half = patch // 2
    corners = jnp.split(windows, 4, axis=-1)
    rows, columns = windows.shape[1:3]
    shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
    padded = [
        jnp.pad(corner, ((0, 0), (down, 1 - down), (right, 1 - right), (0, 0)))
        for corner, (down, right) in zip(corners, shifts, strict=True)
    ]
    summed = join(padded[0] + padded[1] + padded[2] + padded[3], patch)
    return summed[:, half : half + rows * patch, half : half + columns * patch]
