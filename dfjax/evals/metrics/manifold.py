"""Precision and recall (Kynkäänniemi et al., 1904.06991), density and coverage (Naeem et al., 2002.09797).

Each picture of a set has a ball around its features that reaches to its k-th nearest neighbour in its own set; the
union of a set's balls stands for where its pictures lie.

    precision   share of the drawn pictures that lie in a real picture's ball: are they like real ones?
    recall      share of the real pictures that lie in a drawn picture's ball: is every kind drawn?
    density     balls of real pictures that a drawn one lies in, over k: 1 on average for alike sets, more where drawn
                pictures crowd where real ones are dense
    coverage    share of the real pictures whose ball holds a drawn one

All depend on the numbers of pictures and on k: compare at equal ones. Two halves of one real set do not give 1; what
they give is the ceiling.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from dfjax.evals.metrics import inputs, neighbours
from dfjax.evals.metrics.estimate import Estimate
from dfjax.evals.metrics.inputs import Features

# A picture on the rim of a ball lies in it (1904.06991, equation 1), such as a copy of the k-th neighbour: to rounding.
_RIM = 1.0 + 1e-9


@dataclasses.dataclass(frozen=True)
class Manifold:
    """Four figures of a drawn set beside a real one; all but density are in [0, 1]."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def manifold(real: Features, drawn: Features, k: int = 5, *, splits: int = 10) -> Manifold:
    """Precision, recall, density and coverage with their standard errors, in blocks of memory.

    The errors are of chance in both sets. Both are split into halves at random (always the same ones); the figures of
    the two pairs of halves are independent, so that half their squared difference is the variance at half the
    pictures, and a quarter that at all of them; of this the mean over ``splits`` is taken. In simulations the errors
    are 0.75 to 1.25 of the true ones. A picture's effect on its neighbours' balls lets other ways fail: a binomial
    error takes one set as fixed, a bootstrap makes copies, which are neighbours at no distance, and the jackknife
    came out up to twice too large.

    Time is that of all distances within and across both sets, and half of that again for each split.

    Args:
      real: features [n, d]. drawn: [m, d]. Each of at least 2 (k + 1) pictures; k + 1 without splits.
      k: 5 in the paper of density and coverage, 3 in that of precision and recall.
      splits: how many; 0: errors are None.

    Raises:
      ValueError: wrong shapes or types, k < 1, or splits < 0.
      DfjaxError: too few pictures, or features that are not finite.
    """
    if k < 1 or splits < 0:
        raise ValueError(f"k must be at least 1 and splits at least 0, not {k} and {splits}")
    inputs.check_pair(real, drawn, at_least(k) if splits else k + 1)
    # Distances come from inner products, which are best near the origin.
    centre = real.mean(axis=0, dtype=np.float64)
    real, drawn = real - centre, drawn - centre
    values = _figures(real, drawn, k)
    if not splits:
        return Manifold(*(Estimate(float(value), None) for value in values))

    rng = np.random.default_rng(0)
    squares = np.zeros(len(values))
    for _ in range(splits):
        (real_a, real_b), (drawn_a, drawn_b) = _halves(real, rng), _halves(drawn, rng)
        squares += np.square(_figures(real_a, drawn_a, k) - _figures(real_b, drawn_b, k)) / 4
    return Manifold(*map(Estimate, values.tolist(), np.sqrt(squares / splits).tolist()))


def at_least(k: int = 5) -> int:
    """How many pictures each set must have for figures with errors: halves in which all have ``k`` neighbours."""
    return 2 * (k + 1)


def _figures(real: Features, drawn: Features, k: int) -> Float[np.ndarray, "4"]:
    """Precision, recall, density and coverage, in this order."""
    real_reach, drawn_reach = _squared_reach(real, k), _squared_reach(drawn, k)
    held, recalled, covered = np.empty(len(drawn)), np.zeros(len(real), bool), np.zeros(len(real), bool)
    for part in inputs.blocks(len(drawn), len(real)):
        squared = neighbours.squared_distances(real, drawn[part])
        inside = squared <= real_reach[:, None]
        held[part] = inside.sum(axis=0)
        covered |= inside.any(axis=1)
        recalled |= (squared <= drawn_reach[part]).any(axis=1)
    return np.array([(held > 0).mean(), recalled.mean(), held.mean() / k, covered.mean()])


def _squared_reach(features: Features, k: int) -> Float[np.ndarray, "n"]:
    """Of each picture's ball: the squared distance to its k-th nearest neighbour in its own set."""
    return np.square(neighbours.nearest(features, features, k, skip_self=True)[1][:, -1]) * _RIM


def _halves(features: Features, rng: np.random.Generator) -> tuple[Features, Features]:
    """Two halves at random, the second one larger by one where the number is odd."""
    order = rng.permutation(len(features))
    half = len(features) // 2
    return features[order[:half]], features[order[half:]]
