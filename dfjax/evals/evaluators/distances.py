"""How far the drawn pictures, all together, are from the real ones: KID, Fréchet distance, precision and its kin."""

import logging
from collections.abc import Callable, Iterator

from dfjax.evals.bench import Bench, Model
from dfjax.evals.figures import Figure
from dfjax.evals.metrics import frechet, kid, neighbours
from dfjax.evals.subject import Subject

_log = logging.getLogger(__name__)

HAS_CEILING = True

# Of precision and recall (Kynkäänniemi et al. 2019), and of density and coverage (Naeem et al. 2020).
_NEIGHBOURS, _DENSITY_NEIGHBOURS = 3, 5


def make(bench: Bench, model: Model) -> Callable[[Subject], Iterator[Figure]]:
    """A function from pictures to kid_F, frechet_F, precision_F, recall_F, density_F and coverage_F, F the features.

    The Fréchet distance is left out, with a line in the log, where there are fewer than twice as many pictures as
    features. Where it is named FID elsewhere, the features are those of Inception-v3, and the real pictures all there
    are.
    """
    real, on = bench.real_features, bench.extractor.name

    def measure(subject: Subject) -> Iterator[Figure]:
        drawn = subject.features
        count = len(drawn)
        distance = kid.kid(real, drawn)
        yield Figure(f"kid_{on}", distance.value, distance.stderr, count)
        try:
            far = frechet.frechet_distance(frechet.Moments.of(real), frechet.Moments.of(drawn))
            yield Figure(f"frechet_{on}", far, None, count)
        except frechet.TooFewError as error:
            _log.info("frechet_%s is left out: %s", on, error)
        for name, found in neighbours.manifold(real, drawn, _NEIGHBOURS, _DENSITY_NEIGHBOURS).items():
            yield Figure(f"{name}_{on}", found.value, found.stderr, count)

    return measure
