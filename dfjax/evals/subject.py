"""What is measured: pictures with the captions they are of, made when they are first asked for."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfjax.evals import drawing
from dfjax.evals.bench import Bench
from dfjax.evals.real import Pictures
from dfjax.evals.reference import Features
from dfjax.sample import generate

# Pictures of each held-out caption, at most.
_OF_EACH = 4


class Drawn:
    """What a denoiser's parameters draw for the captions of the bench's split.

    Attributes:
      step: of the checkpoint. params: its averaged weights.
      places: of each picture its caption's place in the split. captions: those captions. wordings: by which the
        pictures are to be recognised.
    """

    def __init__(self, bench: Bench, sampler: generate.Sampler, params: Any, step: int, folder: Path):
        """``folder``: where pictures are kept until all is measured."""
        self.bench, self.params, self.step = bench, params, step
        self._sampler, self.folder = sampler, folder
        self.places, self.captions = drawing.captions_for(bench.real.captions, bench.config.eval.num_images)
        self.wordings = [bench.real.wordings[place] for place in self.places]

    @functools.cached_property
    def pictures(self) -> Pictures:
        return self._draw(self.captions, "split")

    @functools.cached_property
    def features(self) -> Features:
        return self.bench.extractor(self.pictures)

    @functools.cached_property
    def heldout(self) -> tuple[list[int], Pictures]:
        """Pictures of held-out captions: of each its place in the held-out split, and pixels."""
        if self.bench.real is self.bench.heldout:
            return self.places, self.pictures
        known = self.bench.require_heldout().captions
        places, captions = drawing.captions_for(known, min(self.bench.config.eval.num_images, _OF_EACH * len(known)))
        return places, self._draw(captions, "heldout")

    @functools.cached_property
    def heldout_features(self) -> Features:
        pictures = self.heldout[1]
        return self.features if pictures is self.pictures else self.bench.extractor(pictures)

    def _draw(self, captions: Sequence[str], name: str) -> Pictures:
        settings = self.bench.config
        return drawing.draw(
            self._sampler, self.params, captions, settings.sample, settings.eval.seed, self.folder / name
        )


class Ceiling:
    """Real held-out pictures in place of drawn ones: what they are given is what a perfect model would get."""

    params = None
    step = 0

    def __init__(self, bench: Bench):
        """Raises EvaluationError where nothing is held out."""
        self.bench, self._heldout = bench, bench.require_heldout()
        self.places, self.captions = list(range(len(self._heldout))), list(self._heldout.captions)
        self.wordings = list(self._heldout.wordings)

    @functools.cached_property
    def pictures(self) -> Pictures:
        return self._heldout.pictures(self.places)

    @property
    def features(self) -> Features:
        return self.bench.heldout_features


Subject = Drawn | Ceiling
