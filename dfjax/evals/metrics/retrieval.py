"""Retrieval: at which rank the right one of N captions comes."""

import numpy as np
from jaxtyping import Float, Int

from dfjax.evals.metrics import Estimate, clustered_mean


def ranks(likenesses: Float[np.ndarray, "n captions"], right: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The rank of the right caption for each picture: 1 is best. Ties count at their mean rank.

    So likenesses that are all the same give (N + 1) / 2, which is chance.

    Raises:
      ValueError: shapes that do not fit, or likenesses that are not numbers.
    """
    values = np.asarray(likenesses, np.float64)
    if values.ndim != 2 or len(values) != len(right) or not values.size:
        raise ValueError(f"{len(right)} pictures need a row of likenesses each, not a matrix {values.shape}")
    if np.isnan(values).any():
        raise ValueError("likenesses of pictures and captions are not numbers")
    own = values[np.arange(len(values)), right][:, None]
    return (values > own).sum(axis=1) + ((values == own).sum(axis=1) + 1) / 2


def scores(likenesses: Float[np.ndarray, "n captions"], right: Int[np.ndarray, "n"]) -> dict[str, Estimate]:
    """The mean rank, recall_1 and recall_5 (shares of pictures whose caption is among the first), and mrr, mean 1/rank.

    Chance is (N + 1) / 2, 1/N and 5/N of N captions. Standard errors are over captions: pictures of one caption are no
    independent draws.
    """
    found = ranks(likenesses, right)
    return {
        "rank": clustered_mean(found, right),
        "recall_1": clustered_mean(_among(likenesses, right, 1), right),
        "recall_5": clustered_mean(_among(likenesses, right, 5), right),
        "mrr": clustered_mean(1 / found, right),
    }


def _among(likenesses: np.ndarray, right: np.ndarray, first: int) -> Float[np.ndarray, "n"]:
    """The chance that the right caption is among the first so many, when ties are broken by lot."""
    own = likenesses[np.arange(len(likenesses)), right][:, None]
    better, equal = (likenesses > own).sum(axis=1), (likenesses == own).sum(axis=1)
    return np.clip((first - better) / equal, 0, 1)
