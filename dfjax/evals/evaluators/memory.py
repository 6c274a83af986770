"""Is it only memory? How near the drawn pictures are to training pictures, against how near real unseen ones are."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from dfjax.core import fingerprint, images, storage
from dfjax.evals import sheets
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import estimate, neighbours
from dfjax.evals.metrics.inputs import unit
from dfjax.evals.subject import Drawn, Subject

_SHOWN, _NEIGHBOURS = 12, 5
_NEAR = 0.05


def has_ceiling(bench: Bench) -> bool:
    """Always: it asks how near a picture is to the training ones."""
    return True


def make(bench: Bench, model: Model) -> Measure:
    """A function from pictures to figures, which also writes ``nearest/step_N.png`` and ``.json``: the nearest ones.

    Distances are Euclidean, of features scaled to length 1. Figures: nearest_training_distance, the mean.
    near_copies: the share of pictures that are as near to a training picture as the nearest 5% of training pictures are
    to another one.

    Raises:
      EvaluationError: there are too few training pictures.
    """
    if len(bench.train) < _NEIGHBOURS + 1:
        raise EvaluationError(
            f"the evaluator memory needs at least {_NEIGHBOURS + 1} training pictures, and there are "
            f"{len(bench.train)}: raise eval.num_real, or choose --evaluators without it"
        )
    known = unit(bench.train_features)
    _, own = neighbours.nearest(known, known, skip_self=True)
    near = float(np.quantile(own[:, 0], _NEAR))

    def measure(subject: Subject) -> Iterator[Figure]:
        places, distances = neighbours.nearest(unit(subject.features), known, _NEIGHBOURS)
        first, count = distances[:, 0], len(distances)
        distance = estimate.mean(first)
        if isinstance(subject, Drawn) and jax.process_index() == 0:
            _show(bench, subject, places, first, bench.shown / "nearest")
        yield Figure("nearest_training_distance", distance.value, distance.stderr, count)
        copies = estimate.share(int((first <= near).sum()), count)
        yield Figure("near_copies", copies.value, copies.stderr, count)

    return Measure(measure, fingerprint.short(bench.extractor.fingerprint, bench.train.digest))


def _show(bench: Bench, subject: Drawn, places: np.ndarray, distances: np.ndarray, folder: Path) -> None:
    """The drawn pictures that are nearest to training ones, of different captions, each with its neighbours."""
    chosen: dict[str, int] = {}
    for place in np.argsort(distances, kind="stable"):
        chosen.setdefault(subject.captions[place], int(place))
    rows = list(chosen.values())[:_SHOWN]
    cells = [
        picture
        for row in rows
        for picture in (subject.pictures[row], *bench.train.pictures([int(place) for place in places[row]]))
    ]
    scale = max(1, 64 // bench.config.data.resolution)
    sheets.save(images.grid(np.stack(cells), 1 + places.shape[1], scale), folder / f"step_{subject.step}.png")
    told = [
        {
            "prompt": subject.captions[row],
            "distance": round(float(distances[row]), 4),
            "neighbours": [bench.train.captions[place] for place in places[row]],
        }
        for row in rows
    ]
    storage.replace(folder / f"step_{subject.step}.json", (json.dumps(told, indent=1) + "\n").encode())
