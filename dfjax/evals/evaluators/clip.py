"""CLIP score (Hessel et al., arXiv 2104.08718), with the user's own weights."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import estimate
from dfjax.evals.metrics.inputs import unit
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
    network = clip.Clip.load(bench.config.eval.clip, bench.mesh, bench.config.eval.batch_size)

    def measure(subject: Subject) -> Iterator[Figure]:
        yield score(network, subject.pictures, subject.captions)

    return Measure(measure, network.fingerprint[:12])


def score(network: clip.Clip, pictures: UInt8[np.ndarray, "n height width 3"], captions: Sequence[str]) -> Figure:
    """The CLIP score of n pictures and their captions: the mean of max(100 cos, 0), from 0 to 100.

    In torchmetrics' scale; Hessel et al. (equation 1) have 2.5 max(cos, 0), a fortieth of it. Negative ones become 0
    pair by pair, as the paper says; torchmetrics does so with the mean.

    Raises:
      ValueError: there are not as many captions as pictures, or none.
    """
    if len(pictures) != len(captions) or not len(captions):
        raise ValueError(f"a CLIP score is of as many captions as pictures, not {len(captions)} and {len(pictures)}")
    images, texts = unit(network.image_features(pictures)), unit(network.text_features(captions))
    found = estimate.mean(np.maximum(100 * np.sum(images * texts, axis=1), 0))
    return Figure("clip_score", found.value, found.stderr, len(captions))
