"""What the metrics take: features that are finite, of one length, and enough of them."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from dfjax.core.errors import DfjaxError

Features = Float[np.ndarray, "n features"]

# What a block of pairs may hold: 64 MiB in float64, and a few such arrays at a time.
BLOCK_PAIRS = 2**23


def check(name: str, features: Features, at_least: int) -> None:
    """Refuse features that no metric can use.

    Raises:
      ValueError: not floating point [n, features], or without features.
      DfjaxError: fewer than ``at_least`` pictures, or values that are not finite.
    """
    check_matrix(f"{name} features", features)
    if len(features) < at_least:
        raise DfjaxError(
            f"{len(features)} {name} pictures are too few: this metric needs at least {at_least}; draw or read more"
        )


def check_matrix(what: str, matrix: Float[np.ndarray, "rows columns"]) -> None:
    """Refuse what is no matrix of finite floating-point numbers; ``what`` names it in the error."""
    if matrix.ndim != 2 or not matrix.shape[1] or not np.issubdtype(matrix.dtype, np.floating):
        raise ValueError(f"{what} must be floating point [pictures, length], not {matrix.dtype} {matrix.shape}")
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise DfjaxError(
            f"{what} are not finite for {len(bad)} of {len(matrix)} pictures, the first at row {bad[0]}: "
            "look for NaN in the weights of the network that made them, or in the pictures"
        )


def unit(features: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n width"]:
    """Rows scaled to length 1, float64. What has no length has no likeness to anything: it stays 0."""
    wide = features.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1)


def check_pair(real: Features, drawn: Features, at_least: int) -> None:
    """Both sets by ``check``, and of one length."""
    check("real", real, at_least)
    check("drawn", drawn, at_least)
    if real.shape[1] != drawn.shape[1]:
        raise ValueError(
            f"real features have length {real.shape[1]} and drawn ones {drawn.shape[1]}: take both from one network"
        )


def slices(count: int, size: int) -> Iterator[slice]:
    """0 to ``count`` in slices of ``size``, the last one shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def blocks(count: int, across: int) -> Iterator[slice]:
    """0 to ``count`` in slices, so that each with ``across`` others makes a block of at most BLOCK_PAIRS pairs."""
    return slices(count, max(1, BLOCK_PAIRS // across))
