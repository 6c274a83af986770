"""Features of real pictures, computed once and kept with a fingerprint of what they are of."""

import logging
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float32

from dfjax.core import fingerprint, ownership
from dfjax.evals.errors import StatisticsError
from dfjax.evals.real import Real
from dfjax.pretrained.extractor import Extractor
from dfjax.runtime import heartbeats, hosts

_log = logging.getLogger(__name__)

_CHUNK = 256

Features = Float32[np.ndarray, "n features"]


def features(real: Real, extractor: Extractor, path: Path | None = None) -> Features:
    """Features of all of ``real``, from ``path`` if they were kept there, else computed and kept. Every process calls.

    Args:
      path: the file they are kept in; None: one in the user's cache, named by its fingerprint.

    Raises:
      StatisticsError: the file at ``path`` is of other data, another resolution or other features.
    """
    wanted = describe(real, extractor)
    is_named = path is not None
    path = path or _cached(wanted)
    # Of several processes the first one's disk decides, or some would wait for others that compute nothing.
    kept = hosts.from_first(_read(path, wanted, (len(real), extractor.size), is_named))
    if kept:
        return np.frombuffer(kept, np.float32).reshape(len(real), extractor.size)
    _log.info("computing the %s features of %d real pictures of %s", extractor.name, len(real), real.name)
    parts = []
    for start in range(0, len(real), _CHUNK):
        heartbeats.note("computing features of real pictures", slow=True)
        parts.append(extractor(real.pictures(range(start, min(start + _CHUNK, len(real))))))
    found = np.concatenate(parts)
    if jax.process_index() == 0:
        fingerprint.keep(path, {"features": found}, "the features of real pictures", wanted)
    return found


def describe(real: Real, extractor: Extractor) -> dict[str, str]:
    """What features are of, in words that are compared when they are used again."""
    return {
        "data": real.name,
        "category": real.data.category,
        "records": str(len(real)),
        "resolution": str(real.data.resolution),
        "pictures": real.digest,
        "features": extractor.name,
        "network": extractor.fingerprint,
    }


def _cached(wanted: dict[str, str]) -> Path:
    name = f"{wanted['features']}-{wanted['network'][:12]}-{wanted['pictures'][:16]}.safetensors"
    return ownership.user_cache("reference") / name


def _read(path: Path, wanted: dict[str, str], shape: tuple[int, int], is_named: bool) -> bytes:
    """The bytes of features kept at ``path``; none where there is no file, or the cache has one that is not ours."""
    if not path.exists():
        return b""
    try:
        arrays, said = fingerprint.load(path)
        found = arrays["features"]
        other = {key: said.get(key, "nothing") for key, value in wanted.items() if said.get(key) != value}
        if not other and (found.shape, found.dtype) != (shape, np.float32):
            raise ValueError(f"features are {found.dtype}{list(found.shape)}, not float32{list(shape)}")
    except (OSError, KeyError, ValueError) as error:
        if is_named:
            raise StatisticsError(
                f"{path} has no reference statistics that can be read ({error}): delete it, or name another file"
            ) from error
        return b""
    if other and is_named:
        words = "; ".join(f"{key} is {there!r} there and {wanted[key]!r} here" for key, there in other.items())
        raise StatisticsError(
            f"the reference statistics in {path} are of something else: {words}. Name another file (they are then "
            "computed anew), or evaluate with what they were made for"
        )
    return b"" if other else found.tobytes()
