"""What nearest neighbours among features tell: precision, recall, density, coverage, and the nearest pictures."""

import numpy as np
from jaxtyping import Float, Int

from dfjax.evals.metrics import Estimate, checked, mean

_BLOCK = 2048

Features = Float[np.ndarray, "n size"]


def manifold(real: Features, drawn: Features, k: int = 3, density_k: int = 5) -> dict[str, Estimate]:
    """Four figures of two sets, by balls around pictures that reach to their k-th nearest neighbour in their own set.

    precision: share of drawn pictures in a ball of a real one. recall: share of real pictures in a ball of a drawn one
    (Kynkäänniemi et al., arXiv 1904.06991, equation 2). density: in how many balls of real pictures a drawn one is,
    over k; may exceed 1. coverage: share of real pictures whose ball has a drawn one (Naeem et al., arXiv 2002.09797,
    equations 3 and 4). Standard errors are over the pictures that are counted, the other set taken as given.

    Args:
      k: for precision and recall. density_k: for density and coverage.

    Raises:
      ValueError: a set has no more pictures than k, or features that are not finite or of another size.
    """
    least = max(k, density_k) + 1
    real, drawn = checked(real, least, "features of real pictures"), checked(drawn, least, "features of drawn pictures")
    _, of_real = nearest(real, real, max(k, density_k), exclude_self=True)
    _, of_drawn = nearest(drawn, drawn, k, exclude_self=True)
    in_real, balls, covered = np.zeros(len(drawn)), np.zeros(len(drawn)), np.zeros(len(real))
    in_drawn = np.zeros(len(real))
    for start in range(0, len(real), _BLOCK):
        rows = slice(start, start + _BLOCK)
        apart = _distances(real[rows], drawn)
        in_real = np.maximum(in_real, (apart <= of_real[rows, k - 1, None]).any(axis=0))
        inside = apart <= of_real[rows, density_k - 1, None]
        balls += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        in_drawn[rows] = (apart <= of_drawn[None, :, k - 1]).any(axis=1)
    return {
        "precision": mean(in_real),
        "recall": mean(in_drawn),
        "density": mean(balls / density_k),
        "coverage": mean(covered),
    }


def nearest(
    queries: Features, known: Features, k: int, *, exclude_self: bool = False
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The k nearest of ``known`` for each query, the nearest first: their rows and Euclidean distances.

    Args:
      exclude_self: the two sets are one, and no row is its own neighbour.

    Raises:
      ValueError: there are fewer than k to be found.
    """
    queries, known = checked(queries, 1, "features"), checked(known, k + exclude_self, "features to be near to")
    k = min(k, len(known))
    places, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for start in range(0, len(queries), _BLOCK):
        apart = _distances(queries[start : start + _BLOCK], known)
        if exclude_self:
            rows = np.arange(len(apart))
            apart[rows, start + rows] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        places[start : start + _BLOCK] = order
        distances[start : start + _BLOCK] = np.take_along_axis(apart, order, axis=1)
    return places, distances


def _distances(first: Features, second: Features) -> Float[np.ndarray, "n m"]:
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features are of {first.shape[1]} and of {second.shape[1]} numbers: take those of one network"
        )
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0))
