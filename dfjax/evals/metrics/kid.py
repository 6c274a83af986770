"""The kernel distance (KID): how far two sets of pictures are apart, without bias whatever their size."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dfjax.evals.metrics import Estimate, checked

_BLOCK = 2048

Features = Float[np.ndarray, "n size"]


def kid(real: Features, drawn: Features) -> Estimate:
    """The unbiased squared MMD of two sets of features with the kernel (x.y / d + 1)^3, over all pairs.

    Binkowski et al., "Demystifying MMD GANs" (arXiv 1801.01401), equation 4 with the kernel of section 4. Where a KID
    is computed on subsets elsewhere, the mean over all subsets is this. It may be negative.

    The standard error is the delete-one jackknife's, over both sets. By Efron and Stein (1981) it is too large rather
    than too small: right to first order where the sets differ, up to the square root of 2 too large where they are of
    one distribution.

    Raises:
      ValueError: fewer than three pictures in a set, other sizes of features, or numbers that are not finite.
    """
    real, drawn = checked(real, 3, "features of real pictures"), checked(drawn, 3, "features of drawn pictures")
    n, m = len(real), len(drawn)
    in_real, in_drawn = _row_sums(real, real), _row_sums(drawn, drawn)
    in_real -= _diagonal(real)
    in_drawn -= _diagonal(drawn)
    across, back = _row_sums(real, drawn), _row_sums(drawn, real)
    whole = _distance(in_real.sum(), in_drawn.sum(), across.sum(), n, m)
    without_real = _distance(in_real.sum() - 2 * in_real, in_drawn.sum(), across.sum() - across, n - 1, m)
    without_drawn = _distance(in_real.sum(), in_drawn.sum() - 2 * in_drawn, across.sum() - back, n, m - 1)
    variance = sum(
        (len(each) - 1) / len(each) * np.square(each - each.mean()).sum() for each in (without_real, without_drawn)
    )
    return Estimate(float(whole), float(variance**0.5))


def over_subsets(
    real: Features, drawn: Features, subsets: Sequence[tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]]
) -> float:
    """The mean of the same over given subsets, pairs of rows of ``real`` and of ``drawn``: as KID is published."""
    return float(np.mean([kid(real[first], drawn[second]).value for first, second in subsets]))


def _distance(in_real, in_drawn, across, n: int, m: int):
    return in_real / (n * (n - 1)) + in_drawn / (m * (m - 1)) - 2 * across / (n * m)


def _row_sums(first: Features, second: Features) -> Float[np.ndarray, "n"]:
    """Of the kernel matrix, block by block: that of 50,000 pictures would take 20 GB."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features are of {first.shape[1]} and of {second.shape[1]} numbers: take those of one network"
        )
    sums = np.zeros(len(first))
    for start in range(0, len(first), _BLOCK):
        rows = first[start : start + _BLOCK]
        for other in range(0, len(second), _BLOCK):
            products = rows @ second[other : other + _BLOCK].T / first.shape[1] + 1
            sums[start : start + _BLOCK] += np.power(products, 3).sum(axis=1)
    return sums


def _diagonal(features: Features) -> Float[np.ndarray, "n"]:
    return np.power(np.square(features).sum(axis=1) / features.shape[1] + 1, 3)
