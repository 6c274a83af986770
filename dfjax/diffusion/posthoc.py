"""Averages of any length after training, from stored ones (EDM2, arXiv 2312.02696, section 3.2 and appendix C).

A stored average is a known profile over training time, so a weighted sum of stored averages has the same weighted sum
of their profiles. The weights that bring it nearest to a wanted profile turn stored averages into the wanted average,
as near as the stored profiles allow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dfjax.diffusion import averaging

_NODES = 32
_HALVINGS = 20


class Average(NamedTuple):
    """Which power-function average: over the first ``step`` (at least 1) steps, of length ``std`` in (0, 1/sqrt(12)].

    Its profile is p(tau) = (gamma + 1) tau^gamma / step^(gamma + 1) up to ``step``, and 0 after it.
    """

    step: int
    std: float


class Weights(NamedTuple):
    """Weights of stored averages, and how near they come: ||sum_i x_i p_i - p|| / ||p|| over training time."""

    values: Float[np.ndarray, "stored"]
    residual: float


def weights(stored: Sequence[Average], wanted: Average) -> Weights:
    """The weights x, in float64, for which sum_i x_i p_i is nearest to the wanted profile p in the L2 norm.

    They are one 1 and zeros where ``wanted`` is itself stored. Lengths of 0.01 and up are solved to rounding error.

    Raises:
      ValueError: nothing is stored, or a length or step is out of range.
    """
    if not stored:
        raise ValueError("there is no stored average to make another from")
    for average in (*stored, wanted):
        if average.step < 1:
            raise ValueError(f"an average is over at least 1 step, not {average.step}")
    if wanted in stored:
        return Weights(np.eye(len(stored))[stored.index(wanted)], 0.0)
    end = max(average.step for average in (*stored, wanted))
    nodes, areas = _quadrature(np.array([average.step for average in (*stored, wanted)]) / end)
    # Least squares over these samples, not over the profiles' inner products: that would square the condition number,
    # which is 4e2 for 64 snapshots of two lengths and 3e7 where a few lie close together.
    columns = np.stack([_profile(average, end, nodes) * np.sqrt(areas) for average in stored], axis=1)
    target = _profile(wanted, end, nodes) * np.sqrt(areas)
    sizes = np.linalg.norm(columns, axis=0)
    values = np.linalg.lstsq(columns / sizes, target)[0] / sizes
    return Weights(values, float(np.linalg.norm(columns @ values - target) / np.linalg.norm(target)))


def _profile(average: Average, end: int, nodes: Float[np.ndarray, "nodes"]) -> Float[np.ndarray, "nodes"]:
    """The profile at ``nodes``, which are times over ``end``."""
    gamma, length = averaging.power_gamma(average.std), average.step / end
    return np.where(nodes < length, (gamma + 1.0) * np.minimum(nodes / length, 1.0) ** gamma / length, 0.0)


def _quadrature(ends: Float[np.ndarray, "profiles"]) -> tuple[Float[np.ndarray, "nodes"], Float[np.ndarray, "nodes"]]:
    """Nodes in (0, 1) and areas that integrate products of two profiles which end at ``ends`` to rounding error.

    Profiles jump to 0 at their ends and are powers between: smooth where an interval is at most its distance from 0.
    Hence Gauss-Legendre between all ends and halvings of 1; what is left of the last halving weighs nothing.
    """
    edges = np.unique(np.concatenate([[0.0], ends, 0.5 ** np.arange(_HALVINGS)]))
    points, areas = np.polynomial.legendre.leggauss(_NODES)
    starts, widths = edges[:-1, None], np.diff(edges)[:, None]
    return (starts + widths * (points + 1.0) / 2.0).ravel(), (widths * areas / 2.0).ravel()
