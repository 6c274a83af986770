"""Held-out pairs: is what is drawn for a held-out caption nearer to its own real picture than to the others?"""

from collections.abc import Callable, Iterator

import numpy as np

from dfjax.evals.bench import Bench, Model
from dfjax.evals.figures import Figure
from dfjax.evals.metrics import estimate
from dfjax.evals.subject import Drawn

HAS_CEILING = False


def make(bench: Bench, model: Model) -> Callable[[Drawn], Iterator[Figure]]:
    """A function from what was drawn to figures. Raises EvaluationError where nothing is held out.

    Distances are Euclidean, of features that are scaled to length 1, and so between 0 and 2. Figures:
    heldout_distance: to the real picture of the caption. heldout_distance_wrong: to those of other captions, the mean.
    heldout_ratio: the first over the second; 1 is chance. heldout_win: the share of the wrong pictures that are farther
    than the right one; 0.5 is chance. Standard errors are over captions, whose pictures are no independent draws.
    """
    real, captions = bench.heldout_features, bench.require_heldout().captions

    def measure(subject: Drawn) -> Iterator[Figure]:
        places, pictures, features = subject.heldout
        right, wrong, win = by_caption(features, real, np.array(places), captions)
        count = len(pictures)
        yield Figure("heldout_distance", *_mean(right), count)
        yield Figure("heldout_distance_wrong", *_mean(wrong), count)
        yield Figure("heldout_ratio", *_ratio(right, wrong), count)
        yield Figure("heldout_win", *_mean(win), count)

    return measure


def by_caption(
    drawn: np.ndarray, real: np.ndarray, places: np.ndarray, captions: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over the pictures of each caption: distance to the right one, to the wrong ones, share of them farther.

    Args:
      drawn: features [n, d]. real: features [m, d]. places: int [n], of each drawn picture the right real one.
      captions: m; real pictures of the same caption are neither right nor wrong.
    """
    distance = np.sqrt(np.maximum(2 - 2 * unit(drawn) @ unit(real).T, 0))
    names = np.array(captions)
    is_wrong = names[places][:, None] != names[None]
    to_right = distance[np.arange(len(places)), places]
    to_wrong = np.where(is_wrong, distance, 0).sum(axis=1) / np.maximum(is_wrong.sum(axis=1), 1)
    farther = (distance > to_right[:, None]) + 0.5 * (distance == to_right[:, None])
    win = np.where(is_wrong, farther, 0).sum(axis=1) / np.maximum(is_wrong.sum(axis=1), 1)
    groups = [places == place for place in np.unique(places)]

    def means(values: np.ndarray) -> np.ndarray:
        return np.array([values[group].mean() for group in groups])

    return means(to_right), means(to_wrong), means(win)


def unit(features: np.ndarray) -> np.ndarray:
    """Features [n, d] scaled to length 1, float64."""
    values = features.astype(np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    found = estimate.mean(values)
    return found.value, found.stderr


def _ratio(first: np.ndarray, second: np.ndarray) -> tuple[float, float | None]:
    """The ratio of two means, and its standard error by the delta method."""
    ratio = first.mean() / second.mean()
    _, error = _mean(first - ratio * second)
    return float(ratio), None if error is None else error / float(second.mean())
