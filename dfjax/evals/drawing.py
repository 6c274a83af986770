"""Pictures drawn for captions, batch by batch, each kept until they are measured: a kill costs one batch."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dfjax import config as config_lib
from dfjax.core import fingerprint
from dfjax.evals.real import Pictures
from dfjax.runtime import heartbeats
from dfjax.sample import generate


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
            if jax.process_index() == 0:
                fingerprint.keep(path, {"pictures": pictures}, "after a kill, drawn pictures")
        parts.append(pictures)
    return np.concatenate(parts)


def forget(folder: Path) -> None:
    """Take away what was kept of drawings that are measured."""
    if jax.process_index() == 0:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path, count: int) -> Pictures | None:
    try:
        found = fingerprint.load(path)[0]["pictures"]
    except (OSError, KeyError, ValueError):
        return None
    return found if found.dtype == np.uint8 and found.ndim == 4 and len(found) == count else None
