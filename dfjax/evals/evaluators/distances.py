"""How far the drawn pictures, all together, are from the real ones: KID, Fréchet distance, precision and its kin."""

import dataclasses
import logging
from collections.abc import Iterator

import numpy as np

from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import frechet, kid, manifold
from dfjax.evals.reference import Features
from dfjax.evals.subject import Subject

_log = logging.getLogger(__name__)

# Of the jackknife that gives the Fréchet distance its error.
_PARTS = 10


def has_ceiling(bench: Bench) -> bool:
    """Where the held-out pictures are not those compared with: of themselves nothing can be learned."""
    return bench.real is not bench.heldout


def make(bench: Bench, model: Model) -> Measure:
    """A function from pictures to kid_F, frechet_F, precision_F, recall_F, density_F and coverage_F, F the features.

    What needs more pictures than there are is left out, with a line in the log: the Fréchet distance wants twice as
    many pictures as features. Where it is named FID elsewhere, the features are those of Inception-v3, and the real
    pictures all there are.

    Raises:
      EvaluationError: there are so few real pictures, or so few are to be drawn, that nothing could be said.
    """
    for key, count in (
        ("eval.num_images", bench.config.eval.num_images),
        (f"the split {bench.split!r}", len(bench.real)),
    ):
        if count < kid.AT_LEAST:
            raise EvaluationError(
                f"the evaluator distances needs at least {kid.AT_LEAST} pictures, and {key} gives {count}: choose "
                "more, or --evaluators without it"
            )
    real, on = bench.real_features, bench.extractor.name
    parts = _moments(real) if _is_enough(real) else []

    def measure(subject: Subject) -> Iterator[Figure]:
        drawn = subject.features
        count, fewest = len(drawn), min(len(drawn), len(real))
        if fewest < kid.AT_LEAST:
            _log.info("distances are left out: they need %d pictures in each set, and here are %d", kid.AT_LEAST, count)
            return
        distance = kid.kid(real, drawn)
        yield Figure(f"kid_{on}", distance.value, distance.stderr, count)
        if parts and _is_enough(drawn):
            far = frechet.frechet(parts, _moments(drawn))
            yield Figure(f"frechet_{on}", far.value, far.stderr, count)
        else:
            _log.info(
                "frechet_%s is left out: %d features need %d pictures in each set, and there are %d real and %d drawn "
                "ones; KID has no such bound",
                on,
                drawn.shape[1],
                frechet.PICTURES_PER_FEATURE * drawn.shape[1],
                len(real),
                count,
            )
        if fewest < manifold.at_least():
            _log.info(
                "precision, recall, density and coverage are left out: they need %d pictures in each set, and there "
                "are %d real and %d drawn ones",
                manifold.at_least(),
                len(real),
                count,
            )
            return
        found = manifold.manifold(real, drawn)
        for field in dataclasses.fields(found):
            figure = getattr(found, field.name)
            yield Figure(f"{field.name}_{on}", figure.value, figure.stderr, count)

    return Measure(measure, bench.extractor.fingerprint[:12])


def _is_enough(features: Features) -> bool:
    return len(features) >= frechet.PICTURES_PER_FEATURE * features.shape[1]


def _moments(features: Features) -> list[frechet.Moments]:
    """Of parts drawn by lot, always the same ones."""
    order = np.random.default_rng(0).permutation(len(features))
    return [frechet.Moments.of(features[part]) for part in np.array_split(order, _PARTS)]
