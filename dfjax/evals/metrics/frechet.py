"""The Fréchet distance of two sets of features, taken for Gaussian. On Inception-v3's features it is the FID."""

import dataclasses

import numpy as np
from jaxtyping import Float

from dfjax.evals.errors import EvaluationError
from dfjax.evals.metrics import checked

# Fewer pictures than features give a singular covariance, and not many more a distance that is mostly bias.
LEAST_PER_FEATURE = 2


class TooFewError(EvaluationError):
    """There are too few pictures for their covariance to mean anything."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean, sum of squared deviations and number of features, which can be merged with those of other pictures."""

    mean: Float[np.ndarray, "size"]
    scatter: Float[np.ndarray, "size size"]
    count: int

    @classmethod
    def of(cls, features: Float[np.ndarray, "n size"]) -> "Moments":
        """Raises ValueError for what is no matrix of finite numbers."""
        values = checked(features, 1, "features")
        mean = values.mean(axis=0)
        return cls(mean, (values - mean).T @ (values - mean), len(values))

    def merged(self, other: "Moments") -> "Moments":
        """Those of both sets (Chan et al. 1979), which never meet."""
        count, apart = self.count + other.count, other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(apart, apart) * self.count * other.count / count
        return Moments(self.mean + apart * other.count / count, scatter, count)

    @property
    def covariance(self) -> Float[np.ndarray, "size size"]:
        """Unbiased."""
        return self.scatter / (self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al., arXiv 1706.08500, equation 6).

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric: no
    imaginary part has to be thrown away, as with the root of the product itself.

    No standard error: its bias, of the order of size / count, is larger than that. So it may be compared between sets
    of the same size alone, and no two figures of other sizes mean anything beside each other.

    Raises:
      TooFewError: a set has fewer than twice as many pictures as features. ValueError: other numbers of features.
    """
    size = len(first.mean)
    if len(second.mean) != size:
        raise ValueError(f"features are of {size} and of {len(second.mean)} numbers: take those of one network")
    least = LEAST_PER_FEATURE * size
    if min(first.count, second.count) < least:
        raise TooFewError(
            f"a Fréchet distance on {size} features needs {least} pictures in each set, and there are {first.count} "
            f"real and {second.count} drawn ones: take more, or look at KID, which has no such bias"
        )
    root = _root(first.covariance)
    values = np.linalg.eigvalsh(root @ second.covariance @ root)
    shared = np.sqrt(np.maximum(values, 0)).sum()
    apart = np.square(first.mean - second.mean).sum()
    return float(apart + np.trace(first.covariance) + np.trace(second.covariance) - 2 * shared)


def _root(matrix: Float[np.ndarray, "size size"]) -> Float[np.ndarray, "size size"]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
