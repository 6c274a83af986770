"""The data set `emoji_captions` as a source: its wordings and colours, and how it is built where it is missing."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from dfjax import config
from dfjax.data.errors import DataError
from dfjax.data.source import Source, Varied
from dfjax.data.sources import tfds
from dfjax.datasets import recolour, wordings
from dfjax.datasets.wordings import EmojiRecord

_ADVICE = "run `dfjax data build --config=...` with the config you train with, or set data.dir to where it is"

Pixels = UInt8[np.ndarray, "height width 3"]


def open_source(data: config.Data, split: str) -> Source:
    """A split of the prepared data set. Raises DataError as :func:`dfjax.data.sources.open_source` does."""
    return tfds.open_source(data, split, EmojiSource, _ADVICE)


def build(data: config.Data) -> pathlib.Path:
    """Build the data set where it is missing, from installed packages. Returns its folder.

    Raises:
      DataError: a package is missing.
    """
    with contextlib.suppress(DataError):
        return pathlib.Path(tfds.open_builder(data).data_dir)
    from dfjax.datasets import emoji_captions  # Needed, with its packages, for this alone.

    builder = emoji_captions.EmojiCaptions(data_dir=tfds.data_dir(data))
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints its progress; stdout is for results.
        builder.download_and_prepare()
    return pathlib.Path(builder.data_dir)


@dataclasses.dataclass(frozen=True)
class EmojiSource(tfds.TfdsSource):
    """Records that training may show in other words and in another hue (data.vary_captions, data.recolour)."""

    def record(self, name: str, features: Mapping[str, Any]) -> EmojiRecord:
        """The record with the parts of its caption."""
        parts: dict[str, Any] = {part: tfds.named(features.get(part, "")) for part in ("concept", "style", "object")}
        recolourable = bool(features.get("recolourable", False))
        return EmojiRecord(**vars(super().record(name, features)), **parts, recolourable=recolourable)

    def captions(self, record: EmojiRecord) -> Sequence[str]:  # type: ignore[override]
        """In all wordings and colours."""
        return wordings.every(record)

    def wording(self, record: EmojiRecord) -> str:  # type: ignore[override]
        """The concept, without the style.

        Sentence embeddings mix the style's name into everything, and one of the right concept in a wrong style is no
        mistake of the kind that is looked for.
        """
        return record.concept or super().wording(record)

    def vary(self, record: EmojiRecord, data: config.Data, rng: np.random.Generator) -> Varied:  # type: ignore[override]
        """One of the wordings, of its own colours or of another hue."""
        caption, colour = wordings.choose(record, data, rng)
        return Varied(caption, functools.partial(recoloured, colour=colour) if colour else None)


def recoloured(pixels: Pixels, colour: str) -> Pixels:
    """The picture in the hue ``colour``, one of :data:`dfjax.datasets.recolour.HUES`."""
    unit = recolour.recolour(pixels.astype(np.float32) / 255, colour)
    return np.round(unit * 255).astype(np.uint8)
