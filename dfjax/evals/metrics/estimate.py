"""A number with its standard error, and where such an error comes from."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value and its standard error; None where there is none to be had."""

    value: float
    stderr: float | None


def mean(values: Float[np.ndarray, "n"], groups: Int[np.ndarray, "n"] | None = None) -> Estimate:
    """The mean of the values, and its standard error.

    Values of one group may depend on each other, those of different groups not: the error is that of a ratio of sums
    over groups (Cochran, Sampling Techniques, 1977, chapter 9A; "cluster-robust"). Without groups, or with one
    value in each, it is the usual s / sqrt(n).

    Args:
      groups: the group of each value, numbered in any way; None: each its own.

    Returns:
      The mean; its stderr is None where there are fewer than two groups.
    """
    value = float(values.mean())
    off = values - value
    if groups is not None:
        off = np.bincount(np.unique(groups, return_inverse=True)[1], weights=off).astype(np.float64)
    count = len(off)
    if count < 2:
        return Estimate(value, None)
    return Estimate(value, math.sqrt(count / (count - 1) * float(off @ off)) / len(values))


def share(count: int, of: int) -> Estimate:
    """The share ``count / of`` of independent trials, and a standard error that is not 0 where all went one way.

    The error is of the share with two trials more of each outcome (Agresti and Coull, American Statistician 1998).
    """
    smoothed = (count + 2) / (of + 4)
    return Estimate(count / of, math.sqrt(smoothed * (1 - smoothed) / (of + 4)))


def jackknife_variance(left_out: Float[np.ndarray, "n"]) -> float:
    """The jackknife's variance of a statistic, given its values with each of n parts left out in turn.

    (n - 1) / n times the sum of squares about their mean. On average not too small (Efron and Stein, The Jackknife
    Estimate of Variance, 1981), whatever the statistic. For a statistic of two sets, add the variances of both.
    """
    count = len(left_out)
    return float((count - 1) / count * np.square(left_out - left_out.mean()).sum())
