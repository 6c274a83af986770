"""The kernel distance (KID of Binkowski et al., 1801.01401): the squared maximum mean discrepancy, without bias.

The kernel is k(x, y) = (x.y / d + 1)^3 for features of length d. The estimate is a U-statistic: means of k over pairs
of different pictures, within the real, within the drawn, and across (Gretton et al., JMLR 2012, equation 3). Its
expectation is the squared discrepancy itself at any number of pictures, so it is often below 0 where both sets are
alike.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

from dfjax.evals.metrics import inputs
from dfjax.evals.metrics.estimate import Estimate
from dfjax.evals.metrics.inputs import Features

# The variance of pairs is estimated without bias from four pictures up.
AT_LEAST = 4
# Pictures a side of a block of the kernel's matrix: 32 MiB.
_SIDE = 2048


def kid(real: Features, drawn: Features) -> Estimate:
    """The unbiased squared discrepancy of all pictures, in O((n + m)^2) time and with blocks of memory, and its error.

    The standard error is of the estimate over new draws of both sets. It rests on the U-statistic's exact variance,
    which Hoeffding's decomposition makes a sum of five terms (as in Sutherland, 1906.02104, there for n = m):

        4 Var f(x) / n + 4 Var g(y) / m + 2 V_xx / (n (n - 1)) + 2 V_yy / (m (m - 1)) + 4 V_xy / (n m)

    f(x) = E k(x, x') - E k(x, y) and g alike are what one picture does, and V the variance of what is left of k for a
    pair after the effect of each of the two. The first two vanish where both sets are alike; the other three do not.
    Each is estimated without bias; only where chance makes the first two together negative they count as 0, so that for
    alike sets the error is a tenth to a third too large, and nearly all estimates lie within two errors of 0 (simulated
    in the tests).

    Args:
      real: features [n, d], n >= 4. drawn: [m, d], m >= 4.

    Raises:
      ValueError: wrong shapes or types. DfjaxError: too few pictures, or features that are not finite.
    """
    inputs.check_pair(real, drawn, AT_LEAST)
    pairs = _Pairs.of(real, drawn)
    single, double = _variance(pairs)
    return Estimate(_discrepancy(pairs), math.sqrt(max(single, 0.0) + max(double, 0.0)))


def kid_over_subsets(
    real: Features, drawn: Features, subsets: Iterable[tuple[Int[np.ndarray, "a"], Int[np.ndarray, "b"]]]
) -> float:
    """The mean of the unbiased estimate over subsets, as published KIDs are made; for comparison with those.

    It wastes pictures, and the spread over subsets is no error of it: they overlap.

    Args:
      subsets: for each, the rows of ``real`` and of ``drawn``, at least two of each and none twice.
    """
    inputs.check_pair(real, drawn, 2)
    values = []
    for of_real, of_drawn in subsets:
        for rows in (of_real, of_drawn):
            if len(np.unique(rows)) < max(2, len(rows)):
                raise ValueError("a subset must name at least two pictures of each set, and none of them twice")
        values.append(_discrepancy(_Pairs.of(real[of_real], drawn[of_drawn])))
    if not values:
        raise ValueError("no subset was given: name at least one")
    return float(np.mean(values))


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Sums of the kernel over pairs: by picture, and squared; within a set only over pairs of different pictures."""

    real: Float[np.ndarray, "n"]
    drawn: Float[np.ndarray, "m"]
    real_across: Float[np.ndarray, "n"]
    drawn_across: Float[np.ndarray, "m"]
    real_squares: float
    drawn_squares: float
    squares_across: float

    @classmethod
    def of(cls, real: Features, drawn: Features) -> "_Pairs":
        # Seen from one fixed point z, k(x, y) - k(x, z) - k(z, y) + k(z, z) gives the same estimate and the same
        # variance, to the letter, since what depends on one picture alone cancels. It is small where k is large and
        # nearly constant, so that no digits are lost.
        z = (real.mean(axis=0, dtype=np.float64) + drawn.mean(axis=0, dtype=np.float64)) / 2
        real_z, drawn_z = (_cubic(x.astype(np.float64) @ z, len(z)) - _cubic(z @ z, len(z)) / 2 for x in (real, drawn))
        real_sums, real_squares = _within(real, real_z)
        drawn_sums, drawn_squares = _within(drawn, drawn_z)
        real_across, drawn_across, squares_across = _across(real, drawn, real_z, drawn_z)
        return cls(real_sums, drawn_sums, real_across, drawn_across, real_squares, drawn_squares, squares_across)


def _cubic(products, size: int):
    base = products / size + 1.0
    return base * base * base


def _kernel(x: Features, y: Features, x_z: np.ndarray, y_z: np.ndarray) -> Float[np.ndarray, "n m"]:
    """One block of the kernel as seen from z, float64."""
    block = _cubic(x.astype(np.float64, copy=False) @ y.astype(np.float64, copy=False).T, x.shape[1])
    block -= x_z[:, None]
    block -= y_z[None, :]
    return block


def _within(x: Features, x_z: np.ndarray) -> tuple[Float[np.ndarray, "n"], float]:
    """For each picture the sum of its pairs with the others of its set, and the sum of the squares of all of them."""
    sums, squares = np.zeros(len(x)), 0.0
    for rows in inputs.slices(len(x), _SIDE):
        for columns in inputs.slices(rows.stop, _SIDE):
            block = _kernel(x[rows], x[columns], x_z[rows], x_z[columns])
            if rows == columns:
                np.fill_diagonal(block, 0.0)
            else:
                # The kernel is symmetric: this block is also the one across the diagonal.
                sums[columns] += block.sum(axis=0)
            sums[rows] += block.sum(axis=1)
            squares += (1 if rows == columns else 2) * float(np.vdot(block, block))
    return sums, squares


def _across(x: Features, y: Features, x_z: np.ndarray, y_z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Sums over pairs of one x and one y: for each x, for each y, and of squares."""
    by_x, by_y, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for rows in inputs.slices(len(x), _SIDE):
        for columns in inputs.slices(len(y), _SIDE):
            block = _kernel(x[rows], y[columns], x_z[rows], y_z[columns])
            by_x[rows] += block.sum(axis=1)
            by_y[columns] += block.sum(axis=0)
            squares += float(np.vdot(block, block))
    return by_x, by_y, squares


def _discrepancy(pairs: _Pairs) -> float:
    """The unbiased estimate; it may be negative."""
    n, m = len(pairs.real), len(pairs.drawn)
    within = pairs.real.sum() / (n * (n - 1)) + pairs.drawn.sum() / (m * (m - 1))
    return float(within - 2 * pairs.real_across.sum() / (n * m))


def _variance(pairs: _Pairs) -> tuple[float, float]:
    """Unbiased estimates of what single pictures, and what pairs, add to the variance of the estimate."""
    n, m = len(pairs.real), len(pairs.drawn)
    v_real, v_drawn = (
        _variance_within(pairs.real, pairs.real_squares),
        _variance_within(pairs.drawn, pairs.drawn_squares),
    )
    # What is left of a table after its rows' and columns' means, as in an analysis of variance.
    total = pairs.real_across.sum()
    left = pairs.squares_across - np.square(pairs.real_across).sum() / m - np.square(pairs.drawn_across).sum() / n
    v_across = (left + total**2 / (n * m)) / ((n - 1) * (m - 1))
    # The effects of single pictures, as found, also vary by what their pairs happen to be.
    f = _effects(pairs.real) - pairs.real_across / m
    g = _effects(pairs.drawn) - pairs.drawn_across / n
    of_f = f.var(ddof=1) - v_real / (n - 2) - v_across / m
    of_g = g.var(ddof=1) - v_drawn / (m - 2) - v_across / n
    double = 2 * v_real / (n * (n - 1)) + 2 * v_drawn / (m * (m - 1)) + 4 * v_across / (n * m)
    return float(4 * of_f / n + 4 * of_g / m), float(double)


def _effects(sums: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """E k(x, x') - E k(x', x'') for each picture x, by least squares from its sum over the others."""
    return (sums - sums.mean()) / (len(sums) - 2)


def _variance_within(sums: Float[np.ndarray, "n"], squares: float) -> float:
    """The variance of what is left of k after both pictures' effects (the unbiased HSIC, Song et al., JMLR 2012)."""
    n = len(sums)
    left = squares - 2 * np.square(sums).sum() / (n - 2) + sums.sum() ** 2 / ((n - 1) * (n - 2))
    return float(left / (n * (n - 3)))
