"""What is computed of features: pure functions of NumPy arrays, in float64."""

import dataclasses

import numpy as np
from jaxtyping import Float, Shaped


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value and its standard error, None where there is none to be had."""

    value: float
    stderr: float | None


def checked(features: Shaped[np.ndarray, "n size"], least: int, what: str) -> Float[np.ndarray, "n size"]:
    """Features as float64.

    Raises:
      ValueError: they are no matrix, fewer than ``least``, or not finite.
    """
    values = np.asarray(features)
    if values.ndim != 2 or len(values) < least or not values.shape[1]:
        raise ValueError(f"{what} must be a matrix of {least} rows or more, not of shape {values.shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{what} are not finite in {int((~np.isfinite(values)).any(axis=1).sum())} rows")
    return values


def mean(values: Float[np.ndarray, "n"]) -> Estimate:
    """The mean, and its standard error over rows."""
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return Estimate(float(values.mean()), error)


def clustered_mean(values: Float[np.ndarray, "n"], groups: Shaped[np.ndarray, "n"]) -> Estimate:
    """The mean over all rows, and its standard error where rows of a group are no independent draws.

    The variance of the sum of residuals by group (Liang and Zeger 1986), G / (G - 1) times.
    """
    centre, names = float(values.mean()), np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(names, values - centre)
    count = len(sums)
    if count < 2:
        return Estimate(centre, None)
    return Estimate(centre, float((count / (count - 1) * np.square(sums).sum()) ** 0.5 / len(values)))
