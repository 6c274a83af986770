"""Held-out pairs: is what is drawn for a held-out caption nearer to its own real picture than to the others?"""

from collections.abc import Iterator, Sequence

import numpy as np

from dfjax.core import fingerprint
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import estimate, neighbours
from dfjax.evals.metrics.inputs import unit
from dfjax.evals.subject import Drawn

# Distances that differ by less, of themselves or at all, count as the same.
_TIE = 1e-5


def has_ceiling(bench: Bench) -> bool:
    """Never: held-out pictures would be compared with themselves."""
    return False


def make(bench: Bench, model: Model) -> Measure:
    """A function from what was drawn to the :func:`figures` ``heldout_...``.

    Distances are Euclidean, of features that are scaled to length 1, and so between 0 and 2.

    Raises:
      EvaluationError: nothing is held out, or only pictures of one caption.
    """
    require_wrong_ones(bench.require_heldout().captions, "heldout")
    real, captions = unit(bench.heldout_features), bench.require_heldout().captions

    def measure(subject: Drawn) -> Iterator[Figure]:
        places, _ = subject.heldout
        distance = np.sqrt(neighbours.squared_distances(unit(subject.heldout_features), real))
        yield from figures("heldout", distance, np.array(places), captions)

    return Measure(measure, fingerprint.short(bench.extractor.fingerprint, bench.require_heldout().digest))


def require_wrong_ones(captions: Sequence[str], evaluator: str) -> None:
    """Raises EvaluationError where all captions are one, so that no picture is a wrong one."""
    if len(set(captions)) < 2:
        raise EvaluationError(
            f"the evaluator {evaluator} needs held-out pictures of two captions at least, and there is one: hold out "
            "more, or choose --evaluators without it"
        )


def figures(name: str, distance: np.ndarray, places: np.ndarray, captions: Sequence[str]) -> Iterator[Figure]:
    """What distances from drawn pictures to real ones say of the captions that they were drawn for.

    NAME_distance: to the real picture of the caption. NAME_distance_wrong: to those of other captions, the mean.
    NAME_ratio: the first over the second; 1 is chance. NAME_win: the share of the wrong pictures that are farther than
    the right one, those of the same distance half; 0.5 is chance. Standard errors are over captions, whose pictures are
    no independent draws.

    Args: as for :func:`by_caption`.
    """
    right, wrong, win = by_caption(distance, places, captions)
    count = len(distance)
    yield Figure(f"{name}_distance", *_mean(right), count)
    yield Figure(f"{name}_distance_wrong", *_mean(wrong), count)
    yield Figure(f"{name}_ratio", *_ratio(right, wrong), count)
    yield Figure(f"{name}_win", *_mean(win), count)


def by_caption(
    distance: np.ndarray, places: np.ndarray, captions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over the pictures of each caption: distance to the right one, to the wrong ones, share of them farther.

    Args:
      distance: [n, m], of n drawn pictures to m real ones. places: int [n], of each drawn picture the right real one.
      captions: m; real pictures of the same caption are neither right nor wrong.
    """
    names = np.array(captions)
    is_wrong = names[places][:, None] != names[None]
    to_right = distance[np.arange(len(places)), places]
    to_wrong = np.where(is_wrong, distance, 0).sum(axis=1) / np.maximum(is_wrong.sum(axis=1), 1)
    # A picture that is in the data twice is as far as itself, but for rounding, which depends on the batch.
    is_tied = np.isclose(distance, to_right[:, None], rtol=_TIE, atol=_TIE)
    farther = np.where(is_tied, 0.5, distance > to_right[:, None])
    win = np.where(is_wrong, farther, 0).sum(axis=1) / np.maximum(is_wrong.sum(axis=1), 1)
    drawn_for = names[places]
    groups = [drawn_for == name for name in dict.fromkeys(drawn_for.tolist())]

    def means(values: np.ndarray) -> np.ndarray:
        return np.array([values[group].mean() for group in groups])

    return means(to_right), means(to_wrong), means(win)


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    found = estimate.mean(values)
    return found.value, found.stderr


def _ratio(first: np.ndarray, second: np.ndarray) -> tuple[float, float | None]:
    """The ratio of two means, and its standard error by the delta method."""
    ratio = first.mean() / second.mean()
    _, error = _mean(first - ratio * second)
    return float(ratio), None if error is None else error / float(second.mean())
