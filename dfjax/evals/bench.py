"""What checkpoints of one run are measured against, and what is drawn with one of them: each made when asked for."""

import dataclasses
import functools
from pathlib import Path

from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.core import fingerprint
from dfjax.evals import real, reference
from dfjax.evals.errors import EvaluationError
from dfjax.evals.real import Real
from dfjax.evals.reference import Features
from dfjax.inputs.network import Network
from dfjax.pretrained import features
from dfjax.sample import restore


@dataclasses.dataclass(frozen=True)
class Model:
    """A network to be measured, without its parameters. ``guide``: a weaker model that it is guided with."""

    network: Network
    guide: restore.Trained | None = None


class Bench:
    """The real pictures, their features, and the programs, for all checkpoints of a run.

    ``split``: of whose captions pictures are drawn, and with whose real pictures they are compared.
    """

    def __init__(
        self,
        config: config_lib.Config,
        mesh: Mesh,
        folder: Path,
        split: str = "",
        statistics: Path | None = None,
        is_own: bool = True,
        guide: restore.Trained | None = None,
    ):
        """Args:
        config: of data, evaluation and sampling. folder: RUN/eval.
        split: the split of training by default. statistics: file of the reference statistics of the split that is
          measured; None: in the cache.
        is_own: whether it is drawn as the run itself would; else pictures to look at have a folder of their own.
        guide: of the model that is measured.
        """
        self.config, self.mesh, self.folder = config, mesh, folder
        self._guide = (guide.step, guide.attempt) if guide else None
        self._is_own = is_own and split in ("", config.data.split)
        self.split = split or config.data.split
        self._statistics = statistics

    @functools.cached_property
    def settings(self) -> str:
        """A hash of all that every figure depends on besides the step; what is drawn is kept under it, too."""
        return fingerprint.short(
            self.split,
            self.real.digest,
            dataclasses.asdict(self.config.sample) | {"prompts": (), "guide": self._guide},
            {name: getattr(self.config.eval, name) for name in ("num_images", "num_real", "seed")},
        )

    @functools.cached_property
    def shown(self) -> Path:
        """Where pictures to look at go: RUN/eval, or a folder in it for what is drawn otherwise."""
        return self.folder if self._is_own else self.folder / self.settings

    @functools.cached_property
    def extractor(self) -> features.Extractor:
        wish = self.config.eval
        return features.make(wish.features, self.mesh, wish.weights or None, wish.batch_size)

    @functools.cached_property
    def train(self) -> Real:
        """What the model was trained on."""
        return real.read(self.config.data, self.config.data.split, self.config.eval.num_real)

    @functools.cached_property
    def heldout(self) -> Real | None:
        """What was held out from training; None where no split of that kind is named."""
        name = self.config.data.validation_split
        return real.read(self.config.data, name, self.config.eval.num_real) if name else None

    @functools.cached_property
    def real(self) -> Real:
        """The split that is measured."""
        for known in (self.train, self.heldout):
            if known and known.split == self.split:
                return known
        return real.read(self.config.data, self.split, self.config.eval.num_real)

    @functools.cached_property
    def train_features(self) -> Features:
        return self._features(self.train)

    def require_heldout(self) -> Real:
        """What was held out. Raises EvaluationError where nothing was."""
        if self.heldout is None:
            raise EvaluationError(
                "nothing is held out from training: set data.validation_split, or choose --evaluators without "
                "validation and heldout"
            )
        return self.heldout

    @functools.cached_property
    def heldout_features(self) -> Features:
        return self._features(self.require_heldout())

    @functools.cached_property
    def real_features(self) -> Features:
        if self.real is self.train:
            return self.train_features
        return self.heldout_features if self.real is self.heldout else self._features(self.real)

    def _features(self, of: Real) -> Features:
        return reference.features(of, self.extractor, self._statistics if of is self.real else None)

    @functools.cached_property
    def wordings(self) -> list[str]:
        """All that a picture may be taken for, each once."""
        both = (*self.train.wordings, *(self.heldout.wordings if self.heldout else ()), *self.real.wordings)
        return list(dict.fromkeys(both))
