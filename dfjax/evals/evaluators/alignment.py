"""Caption alignment without a model of pictures and texts: which caption would a linear probe give the picture?"""

import logging
from collections.abc import Iterator

import numpy as np

from dfjax.core import fingerprint, ownership
from dfjax.evals import alignment
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.metrics import retrieval
from dfjax.evals.subject import Subject
from dfjax.pretrained import minilm

_log = logging.getLogger(__name__)


def has_ceiling(bench: Bench) -> bool:
    """Always: it asks what a picture is taken for."""
    return True


def make(bench: Bench, model: Model) -> Measure:
    """A function from pictures to caption_rank, caption_recall_1 and caption_recall_5 of the right one among all,
    and caption_rank_chance, the rank that pictures get which have nothing to do with their captions.

    The probe is fitted on the real training pictures, and kept. Captions of the same words count as one.

    Raises:
      WeightsError: the package of the text embedding is missing. EvaluationError: there are too few pictures or
        captions to choose from.
    """
    if len(bench.train) < 3 or len(bench.wordings) < 2:
        raise EvaluationError(
            f"the evaluator alignment needs three training pictures and two captions, and there are {len(bench.train)} "
            f"and {len(bench.wordings)}: choose --evaluators without it"
        )
    encode, train, features = minilm.load(), bench.train, bench.train_features
    wanted = alignment.fingerprint(train.digest, bench.extractor.fingerprint, encode.fingerprint)
    probe = alignment.load_or_fit(
        ownership.user_cache("probes") / f"{wanted[:32]}.safetensors",
        wanted,
        lambda: alignment.fit(features, encode(train.wordings))[0],
    )
    _log.info("the probe explains %.2f of the variance of real captions left out", probe.explained)
    candidates = encode(bench.wordings)
    place = {wording: row for row, wording in enumerate(bench.wordings)}

    def measure(subject: Subject) -> Iterator[Figure]:
        likenesses = probe.likenesses(probe.predict(subject.features), candidates)
        right = np.array([place[wording] for wording in subject.wordings])
        found = retrieval.retrieval(likenesses, right)
        for name, figure in (
            ("rank", found.mean_rank),
            ("recall_1", found.recall_at_1),
            ("recall_5", found.recall_at_5),
        ):
            yield Figure(f"caption_{name}", figure.value, figure.stderr, len(right))
        yield Figure("caption_rank_chance", (len(candidates) + 1) / 2, 0.0, len(right))

    return Measure(
        measure, fingerprint.short(bench.extractor.fingerprint, encode.fingerprint, train.digest, bench.wordings)
    )
