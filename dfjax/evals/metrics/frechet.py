"""The Fréchet distance between Gaussians of the features' means and covariances (Heusel et al., 1706.08500, eq. 6).

    |mu_a - mu_b|^2 + tr A + tr B - 2 tr (A B)^(1/2)

Only on the features of the published Inception-v3 is this the FID. It is biased upwards, by about 1 / pictures, so that
values are comparable only at equal numbers of pictures.

The trace of the root is taken as the nuclear norm (the sum of the singular values) of A^(1/2) B^(1/2), with symmetric
roots from eigendecompositions. A B itself is not symmetric: a general matrix root of it, as others take, comes out
with an imaginary part that is dropped or refused, does not converge where A or B is singular (a feature that is
always 0), and small eigenvalues lose half their digits. Singular values are real, not negative, and good to the last
digits.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from dfjax.core.errors import DfjaxError
from dfjax.evals.metrics import inputs
from dfjax.evals.metrics.estimate import Estimate, jackknife_variance
from dfjax.evals.metrics.inputs import Features

# Pictures for each feature. With as many as features and fewer, a covariance is singular and the distance its noise.
PICTURES_PER_FEATURE = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean, covariance (over count - 1; zero for one picture) and number of pictures; float64."""

    mean: Float[np.ndarray, "features"]
    cov: Float[np.ndarray, "features features"]
    count: int

    @classmethod
    def of(cls, features: Features) -> "Moments":
        """Of a batch of features [n, d], n >= 1.

        Raises:
          ValueError: wrong shape or type. DfjaxError: no picture, or features that are not finite.
        """
        inputs.check("evaluated", features, 1)
        mean = features.mean(axis=0, dtype=np.float64)
        off = features.astype(np.float64) - mean
        return cls(mean, off.T @ off / max(len(off) - 1, 1), len(off))

    def __add__(self, other: "Moments") -> "Moments":
        """Of both sets of pictures together (Chan, Golub and LeVeque, 1979), to rounding."""
        check_alike(self, other)
        count = self.count + other.count
        off = other.mean - self.mean
        scatter = self.cov * (self.count - 1) + other.cov * (other.count - 1)
        scatter += np.outer(off, off) * (self.count * other.count / count)
        return Moments(self.mean + off * (other.count / count), scatter / (count - 1), count)

    @functools.cached_property
    def root(self) -> Float[np.ndarray, "features features"]:
        """The symmetric root of the covariance."""
        values, vectors = np.linalg.eigh(self.cov)
        # What rounding leaves of eigenvalues that are 0 would come out of the root with half its digits gone.
        floor = max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
        values = np.where(values > floor, values, 0.0)
        return (vectors * np.sqrt(values)) @ vectors.T


def check_alike(a: Moments, b: Moments) -> None:
    """Raises ValueError where the two are not of features of one length."""
    if a.mean.shape != b.mean.shape or a.cov.shape != b.cov.shape:
        raise ValueError(
            f"moments of {len(a.mean)} and of {len(b.mean)} features do not go together: take both from one network"
        )


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance, not below 0.

    Raises:
      DfjaxError: fewer than twice as many pictures as features, on either side. ValueError: other features.
    """
    check_alike(a, b)
    for moments in (a, b):
        _check_count(moments)
    return _distance(a, b)


def frechet(real: Sequence[Moments], drawn: Sequence[Moments]) -> Estimate:
    """The distance of two sets that come in parts, and its standard error by a jackknife over parts.

    Each part is left out in turn, of the real and of the drawn, and the variances are added. The error is that of
    chance in both sets; of a set that is one part (known only as a whole) chance is not counted, and of two such sets
    there is no error. It does not count the bias, which is above it for alike sets: two halves of one real set are
    many errors above 0. To tell whether sets differ use ``kid``; this error compares distances at equal numbers of
    pictures.

    Args:
      real, drawn: parts of about equal numbers of pictures, taken at random; ten are enough. Together they must
        hold twice as many pictures as features. The time is that of one eigendecomposition and one of singular
        values for each.

    Raises:
      As ``frechet_distance``; ValueError also for no parts.
    """
    if not real or not drawn:
        raise ValueError("no parts were given: give the moments of at least one part of each set")
    whole_real, whole_drawn = _sum(real), _sum(drawn)
    value = frechet_distance(whole_real, whole_drawn)
    variances = []
    for parts, other in ((real, whole_drawn), (drawn, whole_real)):
        if len(parts) > 1:
            without = (_sum([*parts[:i], *parts[i + 1 :]]) for i in range(len(parts)))
            variances.append(jackknife_variance(np.array([_distance(rest, other) for rest in without])))
    return Estimate(value, math.sqrt(sum(variances)) if variances else None)


def _sum(parts: Sequence[Moments]) -> Moments:
    return functools.reduce(Moments.__add__, parts)


def _check_count(moments: Moments) -> None:
    size = len(moments.mean)
    needed = PICTURES_PER_FEATURE * size
    if moments.count < needed:
        raise DfjaxError(
            f"a Fréchet distance over {size} features needs at least {needed} pictures of each set, and one set has "
            f"{moments.count}: draw or read more, take features of a smaller length, or go by the kernel distance (KID)"
        )


def _distance(a: Moments, b: Moments) -> float:
    off = a.mean - b.mean
    shared = np.linalg.svd(a.root @ b.root, compute_uv=False).sum()
    return max(0.0, float(off @ off + np.trace(a.cov) + np.trace(b.cov) - 2 * shared))
