"""Retrieval: of N captions, at which rank is the right one of a picture, by similarity?

A picture's rank is 1 where no caption is more similar to it than its own. Captions that tie with the right one are
taken in random order, and each figure is its expectation over these orders, so that an embedding which says nothing
scores chance in all of them and not the best.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dfjax.evals.metrics import estimate, inputs
from dfjax.evals.metrics.estimate import Estimate

# Similarities this near, as a share of the picture's largest, are a tie: float32 tells no more apart.
_TIE = 1e-6


@dataclasses.dataclass(frozen=True)
class Chance:
    """What a random order of the captions gives."""

    mean_rank: float
    median_rank: float
    recall_at_1: float
    recall_at_5: float
    mean_reciprocal_rank: float

    @classmethod
    def of(cls, captions: int) -> "Chance":
        """Among so many captions: every rank is as likely."""
        middle = (captions + 1) / 2
        reciprocal = float((1 / np.arange(1, captions + 1)).mean())
        return cls(middle, middle, 1 / captions, min(5, captions) / captions, reciprocal)


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Figures over the pictures, beside chance; ``captions``: among how many different ones. Ranks count from 1."""

    mean_rank: Estimate
    median_rank: Estimate
    recall_at_1: Estimate
    recall_at_5: Estimate
    mean_reciprocal_rank: Estimate
    chance: Chance
    captions: int
    ranks: Float[np.ndarray, "n"]


def cosine(
    pictures: Float[np.ndarray, "n d"], captions: Float[np.ndarray, "captions d"]
) -> Float[np.ndarray, "n captions"]:
    """Cosine similarities of all pairs, float64; that of an embedding that is all 0 with any other is 0.

    Raises:
      ValueError: wrong shapes or types. DfjaxError: values that are not finite.
    """
    units = []
    for what, matrix in (("embeddings of pictures", pictures), ("embeddings of captions", captions)):
        inputs.check_matrix(what, matrix)
        matrix = matrix.astype(np.float64)
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        units.append(np.divide(matrix, length, out=np.zeros_like(matrix), where=length > 0))
    if units[0].shape[1] != units[1].shape[1]:
        raise ValueError(
            f"pictures have embeddings of length {units[0].shape[1]} and captions of {units[1].shape[1]}: "
            "both must be embedded in one space"
        )
    return units[0] @ units[1].T


def retrieval(
    similarities: Float[np.ndarray, "n captions"], right: Int[np.ndarray, "n"], captions: Sequence[str] | None = None
) -> Retrieval:
    """Ranks of the right captions, and what is said of them.

    Standard errors are over pictures, as if new captions were drawn, with pictures of each: the pictures of one
    caption are one group, since a caption that is hard is hard for all of them, and only groups are taken as
    independent (the median's error: half the width of Woodruff's interval of one standard error, JASA 1952). They
    hold for this list of captions to choose from: a longer one has other ranks. Of a recall that is a handful of
    pictures the error is too small, and 0 where none is right: to tell whether a model does better than chance, go by
    the mean rank.

    Args:
      similarities: of each picture to each caption, larger is nearer. Of two embeddings: ``cosine``.
      right: for each picture, the column of its own caption.
      captions: the captions' words, for each column: those with equal words are one, the first. None: all differ.

    Raises:
      ValueError: wrong shapes or types, or columns that are not there, or fewer than two different captions.
      DfjaxError: similarities that are not finite.
    """
    inputs.check_matrix("similarities", similarities)
    columns = similarities.shape[1]
    if not len(similarities) or right.shape != similarities.shape[:1] or not np.issubdtype(right.dtype, np.integer):
        raise ValueError(
            f"similarities {similarities.shape} need the column of the right caption for each of one or more pictures, "
            f"as integers, not {right.dtype} {right.shape}"
        )
    if right.min() < 0 or right.max() >= columns:
        raise ValueError(f"right captions are columns 0 to {columns - 1}, not {right.min()} to {right.max()}")
    if captions is not None:
        kept, column = _different(captions, columns)
        similarities, right = similarities[:, kept], column[right]
    if similarities.shape[1] < 2:
        raise ValueError("all captions are the same: retrieval needs at least two that differ")
    return _figures(*_order(similarities, right), right, similarities.shape[1])


def _different(captions: Sequence[str], columns: int) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "columns"]]:
    """The columns of the first of equal captions; and for each column its place among those."""
    if len(captions) != columns:
        raise ValueError(f"{columns} columns of similarities need as many captions, not {len(captions)}")
    place = {words: i for i, words in enumerate(dict.fromkeys(captions))}
    column = np.array([place[words] for words in captions])
    return np.unique(column, return_index=True)[1], column


def _order(
    similarities: Float[np.ndarray, "n captions"], right: Int[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """For each picture, how many captions are more similar than the right one, and how many tie with it, itself too."""
    similarities = similarities.astype(np.float64, copy=False)
    own = similarities[np.arange(len(right)), right][:, None]
    slack = _TIE * np.abs(similarities).max(axis=1, keepdims=True)
    return (similarities > own + slack).sum(axis=1), (np.abs(similarities - own) <= slack).sum(axis=1)


def _figures(better: np.ndarray, tied: np.ndarray, right: np.ndarray, captions: int) -> Retrieval:
    ranks = better + (tied + 1) / 2
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, captions + 1))])
    reciprocal = (harmonic[better + tied] - harmonic[better]) / tied
    return Retrieval(
        mean_rank=estimate.mean(ranks, right),
        median_rank=_median(ranks, right),
        recall_at_1=estimate.mean(np.clip((1 - better) / tied, 0.0, 1.0), right),
        recall_at_5=estimate.mean(np.clip((5 - better) / tied, 0.0, 1.0), right),
        mean_reciprocal_rank=estimate.mean(reciprocal, right),
        chance=Chance.of(captions),
        captions=captions,
        ranks=ranks,
    )


def _median(ranks: Float[np.ndarray, "n"], groups: Int[np.ndarray, "n"]) -> Estimate:
    value = float(np.median(ranks))
    below = estimate.mean((ranks <= value).astype(np.float64), groups)
    if below.stderr is None:
        return Estimate(value, None)
    low, high = np.quantile(ranks, np.clip([0.5 - below.stderr, 0.5 + below.stderr], 0.0, 1.0))
    return Estimate(value, float(high - low) / 2)
