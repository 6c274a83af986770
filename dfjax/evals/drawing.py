"""Pictures drawn for captions, batch by batch, each kept until they are measured: a kill costs one batch."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from dfjax import config as config_lib
from dfjax.core import storage
from dfjax.evals.real import Pictures
from dfjax.runtime import heartbeats
from dfjax.sample import generate

_log = logging.getLogger(__name__)


def captions_for(captions: Sequence[str], count: int) -> tuple[list[int], list[str]]:
    """Which captions ``count`` pictures are drawn for: evenly spread, or each several times, where there are fewer.

    Returns:
      Their places in ``captions``, in order, and themselves.
    """
    places = [i * len(captions) // count for i in range(count)]
    return places, [captions[place] for place in places]


def draw(
    sampler: generate.Sampler,
    params: Any,
    captions: Sequence[str],
    settings: config_lib.Sample,
    seed: int,
    folder: Path,
) -> Pictures:
    """A picture of each caption. The n-th one's noise is a function of (seed, n), whatever the batch or the devices.

    Args:
      settings: guidance and what it leads away from.
      folder: where finished batches are kept, and found again by the same call after a kill. Every process calls this.
    """
    wanted = [
        generate.Request(caption, index, settings.guidance, settings.negative_prompt)
        for index, caption in enumerate(captions)
    ]
    parts = []
    for start in range(0, len(wanted), sampler.batch_size):
        heartbeats.note("drawing", slow=True)
        part = wanted[start : start + sampler.batch_size]
        path = folder / f"from_{start}_of_{len(wanted)}_by_{sampler.batch_size}.safetensors"
        # Several processes draw together or not at all, and need not see one disk: they draw again.
        pictures = _read(path, len(part)) if jax.process_count() == 1 else None
        if pictures is None:
            pictures, _ = sampler(params, part, seed)
            _keep(path, pictures)
        parts.append(pictures)
    return np.concatenate(parts)


def forget(folder: Path) -> None:
    """Take away what was kept of drawings that are measured."""
    if jax.process_index() == 0:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path, count: int) -> Pictures | None:
    try:
        found = safetensors_numpy.load(path.read_bytes())["pictures"]
    except (OSError, KeyError, SafetensorError):
        return None
    return found if found.dtype == np.uint8 and found.ndim == 4 and len(found) == count else None


def _keep(path: Path, pictures: Pictures) -> None:
    if jax.process_index():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.replace(path, safetensors_numpy.save({"pictures": np.ascontiguousarray(pictures)}))
    except OSError as error:
        _log.warning("drawn pictures are not kept for the case of a kill: %s", error)
