"""LPIPS, with the user's own weights: is what is drawn for a held-out caption perceptually near its real picture?"""

import logging
from collections.abc import Iterator

import numpy as np

from dfjax.core import fingerprint
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.evaluators import heldout
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import neighbours
from dfjax.evals.subject import Drawn
from dfjax.pretrained import features

_log = logging.getLogger(__name__)

# Of the networks that LPIPS is made with, the one that its authors recommend for measuring.
NETWORK = features.LPIPS_ALEXNET


def has_ceiling(bench: Bench) -> bool:
    """Never: held-out pictures would be compared with themselves."""
    return False


def make(bench: Bench, model: Model) -> Measure:
    """A function from what was drawn to the figures ``lpips_...`` of :func:`heldout.figures`.

    Raises:
      EvaluationError: no weights are named, or no pictures of two captions are held out.
      WeightsError: they are not those of LPIPS.
    """
    real = bench.require_heldout()
    if not bench.config.eval.lpips:
        raise EvaluationError(
            f"the evaluator lpips needs weights, which no package has: give {NETWORK.files}, as "
            "--lpips=FILE,FILE (in training --config.eval.lpips)"
        )
    heldout.require_wrong_ones(real.captions, "lpips")
    extractor = features.make(NETWORK, bench.mesh, bench.config.eval.lpips, bench.config.eval.batch_size)

    def measure(subject: Drawn) -> Iterator[Figure]:
        places, pictures = subject.heldout
        # A picture has tens of thousands of these features, so only those of the pictures drawn for are made.
        used, right = np.unique(places, return_inverse=True)
        if len({real.captions[place] for place in used}) < 2:
            _log.info("lpips is left out: all that was drawn is of one caption")
            return
        compared = extractor(real.pictures([int(place) for place in used]))
        distance = neighbours.squared_distances(*(x.astype(np.float64) for x in (extractor(pictures), compared)))
        yield from heldout.figures("lpips", distance, right, [real.captions[place] for place in used])

    return Measure(measure, fingerprint.short(extractor.fingerprint, real.digest))
