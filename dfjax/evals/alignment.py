"""Whether a picture shows what its caption says, without a model of both: a linear probe from pictures to captions.

Ridge regression, fitted on real pictures, predicts the embedding of a picture's caption from the picture's features. Of
a drawn picture it tells which of N captions comes nearest, and so the rank of the right one: 1 is best, (N + 1) / 2 is
what a picture reaches that has nothing to do with its caption, and real held-out pictures show what can be reached.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfjax.core import fingerprint as fingerprints
from dfjax.evals.metrics import inputs

_log = logging.getLogger(__name__)

# Grows where the same pictures and captions would give another probe.
_VERSION = 1
# Shares of the features' mean variance that are tried as ridge, four to a power of ten.
RIDGES = tuple(float(ridge) for ridge in np.logspace(-4, 4, 33))
# Features that hardly vary over real pictures would be blown up where drawn ones do other things: their scale is at
# least this share of the median one.
_FLOOR = 0.1

Features = Float[np.ndarray, "n size"]
Embeddings = Float[np.ndarray, "n width"]


@dataclasses.dataclass(frozen=True)
class Probe:
    """A linear map from features to embeddings of captions, float64: centre + (features - mean) / scale @ matrix.

    Attributes:
      centre: the mean embedding of the captions it was fitted on, which all have in common and which tells nothing.
      ridge: the strength that was chosen. explained: the share of the embeddings' variance that is predicted of
        pictures left out, one by one; 0 for a probe that learned nothing.
    """

    mean: Float[np.ndarray, "size"]
    scale: Float[np.ndarray, "size"]
    matrix: Float[np.ndarray, "size width"]
    centre: Float[np.ndarray, "width"]
    ridge: float
    explained: float

    def predict(self, features: Features) -> Embeddings:
        """The embeddings of the captions that pictures with these features would have, not of length 1."""
        return self.centre + (features.astype(np.float64) - self.mean) / self.scale @ self.matrix

    def likenesses(self, predicted: Embeddings, candidates: Float[np.ndarray, "m width"]) -> Float[np.ndarray, "n m"]:
        """Cosines, less the centre, of predicted embeddings and those of candidate captions; -1 to 1."""
        first, second = (inputs.unit(x.astype(np.float64) - self.centre) for x in (predicted, candidates))
        return first @ second.T


_NAMES = tuple(field.name for field in dataclasses.fields(Probe))
_FINGERPRINT = "fingerprint"


def fit(features: Features, embeddings: Embeddings, ridges: Sequence[float] = RIDGES) -> tuple[Probe, Embeddings]:
    """The ridge regression whose strength predicts best what it was not shown.

    Each picture is left out once, which ridge regression has in closed form (Golub, Heath and Wahba, Technometrics
    1979, section 1): the error of a picture left out is its error over one less its leverage. The features' scale is
    always that of all pictures.

    Args:
      features, embeddings: of real pictures and their captions, row by row. ridges: as shares of the mean variance.

    Returns:
      The probe, and what is predicted for each of these pictures when that one is left out: an honest figure for them.

    Raises:
      ValueError: there are fewer than three pictures, or not as many embeddings.
    """
    n = len(features)
    if n < 3 or len(embeddings) != n:
        raise ValueError(f"a probe needs three pictures or more and their captions, not {n} and {len(embeddings)}")
    x, y = features.astype(np.float64), embeddings.astype(np.float64)
    mean, centre, scale = x.mean(axis=0), y.mean(axis=0), np.std(x, axis=0)
    scale = np.maximum(scale, _FLOOR * np.median(scale))
    scale[scale == 0] = 1
    regression = _Regression(*np.linalg.svd((x - mean) / scale, full_matrices=False), y - centre)
    mistakes = {ridge: float(np.mean(np.square(regression.errors_left_out(ridge)))) for ridge in ridges}
    ridge = min(mistakes, key=lambda each: mistakes[each])
    variance = float(np.mean(np.square(y - centre)))
    explained = 1 - mistakes[ridge] / variance if variance else 0.0
    if explained <= 0:
        _log.warning("the features of the real pictures tell nothing about their captions: ranks will be chance")
    probe = Probe(mean, scale, regression.matrix(ridge), centre, ridge, explained)
    return probe, y - regression.errors_left_out(ridge)


@dataclasses.dataclass(frozen=True)
class _Regression:
    """Centred targets, and the singular value decomposition of centred features."""

    left: Float[np.ndarray, "n rank"]
    sizes: Float[np.ndarray, "rank"]
    right: Float[np.ndarray, "rank size"]
    targets: Embeddings

    def matrix(self, ridge: float) -> Float[np.ndarray, "size width"]:
        shrunk = self.sizes / (np.square(self.sizes) + len(self.left) * ridge)
        return self.right.T @ (shrunk[:, None] * (self.left.T @ self.targets))

    def errors_left_out(self, ridge: float) -> Embeddings:
        share = np.square(self.sizes) / (np.square(self.sizes) + len(self.left) * ridge)
        errors = self.targets - self.left @ (share[:, None] * (self.left.T @ self.targets))
        # The first term is the mean's: it moves with a picture that is left out.
        leverage = 1 / len(self.left) + np.square(self.left) @ share
        return errors / np.maximum(1 - leverage, 1e-12)[:, None]


def fingerprint(data: str, features: str, texts: str) -> str:
    """SHA-256 of what a probe was fitted on: fingerprints of the real pictures and captions, and of both networks."""
    return hashlib.sha256(repr((_VERSION, data, features, texts)).encode()).hexdigest()


def load_or_fit(path: Path, wanted: str, make: Callable[[], Probe]) -> Probe:
    """The probe in a file, if it is the one of this fingerprint; else a new one, which is then in the file.

    Args:
      path: a safetensors file, which may be missing. wanted: of :func:`fingerprint`.
      make: fits the probe; called only if it must be.
    """
    kept = _kept(path, wanted)
    if kept is not None:
        return kept
    probe = make()
    arrays = {name: np.asarray(getattr(probe, name), np.float64) for name in _NAMES}
    fingerprints.keep(path, arrays | {_FINGERPRINT: np.frombuffer(wanted.encode(), np.uint8)}, "the probe")
    return probe


def _kept(path: Path, wanted: str) -> Probe | None:
    if not path.exists():
        return None
    try:
        arrays, _ = fingerprints.load(path)
        found = arrays.pop(_FINGERPRINT).tobytes()
        ridge, explained = float(arrays.pop("ridge")), float(arrays.pop("explained"))
        probe = Probe(**arrays, ridge=ridge, explained=explained)
    except (OSError, KeyError, TypeError, ValueError) as error:
        _log.warning("%s is fitted anew: it is no probe (%s)", path, error)
        return None
    if found != wanted.encode():
        _log.warning("%s is fitted anew: it is for other pictures, captions or networks", path)
        return None
    return probe
