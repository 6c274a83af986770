"""Nearest neighbours among features: which training pictures are nearest to a drawn one (is it only memory?)."""

import numpy as np
from jaxtyping import Float, Int

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics import inputs
from dfjax.evals.metrics.inputs import Features

# Squared distances below this share of the squared norms are rounding, of float32 features too: the features are equal.
_EQUAL = 1e-13


def nearest(
    queries: Features, reference: Features, k: int = 1, *, skip_self: bool = False
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """For each query the k nearest of the reference: their rows, and their Euclidean distances, nearest first.

    Equal distances come in the order of the rows; a distance to equal features is exactly 0.

    Args:
      queries: features [n, d]. reference: [m, d], m >= k.
      skip_self: the reference is the queries themselves, and a row is not its own neighbour (its equals are).

    Raises:
      ValueError: wrong shapes or types, or k < 1.
      DfjaxError: fewer than k to choose from, or features that are not finite.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    inputs.check("query", queries, 1)
    inputs.check("reference", reference, 1)
    if queries.shape[1] != reference.shape[1]:
        raise ValueError(
            f"queries have features of length {queries.shape[1]} and the reference of {reference.shape[1]}: "
            "both must come from one network"
        )
    if skip_self and queries.shape != reference.shape:
        raise ValueError("skip_self=True takes the queries themselves as the reference")
    others = len(reference) - skip_self
    if others < k:
        raise DfjaxError(f"{k} nearest neighbours among {others} pictures: ask for fewer, or give more pictures")

    # Distances come from inner products, which are best near the origin.
    centre = reference.mean(axis=0, dtype=np.float64)
    queries, reference = queries - centre, reference - centre
    rows = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k))
    for part in inputs.blocks(len(queries), len(reference)):
        squared = squared_distances(queries[part], reference)
        if skip_self:
            squared[np.arange(len(squared)), np.arange(part.start, part.stop)] = np.inf
        rows[part], distances[part] = _smallest(squared, k)
    return rows, distances


def squared_distances(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Squared Euclidean distances of all pairs, float64, good to 1e-13 of the squared norms; those of equals are 0."""
    x_norm, y_norm = np.vecdot(x, x)[:, None], np.vecdot(y, y)[None, :]
    norms = x_norm + y_norm
    squared = norms - 2.0 * (x @ y.T)
    squared[squared <= _EQUAL * norms] = 0.0
    return squared


def _smallest(squared: Float[np.ndarray, "n m"], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and roots of the k smallest of each row, in order, equals by column."""
    kth = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
    columns = np.empty((len(squared), k), np.int64)
    for row, near in enumerate(squared <= kth):
        found = np.flatnonzero(near)
        columns[row] = found[np.argsort(squared[row, found], kind="stable")][:k]
    return columns, np.sqrt(np.take_along_axis(squared, columns, axis=1))
