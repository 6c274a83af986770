"""CLIP score, with the user's own weights."""

from collections.abc import Iterator

from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.subject import Subject
from dfjax.pretrained import clip


def has_ceiling(bench: Bench) -> bool:
    """Always: it asks what a picture is taken for."""
    return True


def make(bench: Bench, model: Model) -> Measure:
    """A function from pictures to clip_score, from 0 to 100.

    Raises:
      EvaluationError: no weights are named. WeightsError: they are not CLIP's.
    """
    if not bench.config.eval.clip:
        raise EvaluationError(
            "the evaluator clip needs CLIP's weights, which no package has: name a folder with "
            f"{clip.WEIGHTS}, {clip.TOKENIZER} and {clip.CONFIG} with --clip=FOLDER (in training --config.eval.clip)"
        )
    scorer = clip.Clip.load(bench.config.eval.clip, bench.mesh, bench.config.eval.batch_size)

    def measure(subject: Subject) -> Iterator[Figure]:
        yield scorer.score(subject.pictures, subject.captions)

    return Measure(measure, scorer.fingerprint[:12])
