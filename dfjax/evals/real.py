"""The real pictures of a split, by index: captions at once, pixels when they are asked for."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from dfjax import config as config_lib
from dfjax.data import pipeline, sources, transforms
from dfjax.data.source import Record, Source
from dfjax.data.source import read as read_record

Pictures = UInt8[np.ndarray, "n height width 3"]

# Grows when the same record becomes another picture or caption.
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Real:
    """Up to so many records of a split, spread evenly over it, in its order; each once.

    ``captions``: one for each, in the words of validation. ``wordings``: by which a picture is recognised, see
    ``Source.wording``. ``digest``: SHA-256 over what pictures and captions are made of.
    """

    source: Source
    split: str
    data: config_lib.Data
    indices: tuple[int, ...]
    captions: tuple[str, ...]
    wordings: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def name(self) -> str:
        """Of data set and split."""
        return f"{self.data.name}/{self.split}"

    def pictures(self, places: Sequence[int]) -> Pictures:
        """The pictures at these places, uint8 of the model's resolution."""
        size = self.data.resolution
        shown = [self._picture(self.indices[place]) for place in places]
        return np.stack(shown) if shown else np.zeros((0, size, size, 3), np.uint8)

    def _picture(self, index: int) -> np.ndarray:
        picture, _ = read_record(self.source, index, self._render)
        return picture

    def _render(self, record: Record) -> np.ndarray:
        return _rendered(record, self.data)


def read(data: config_lib.Data, split: str, limit: int) -> Real:
    """Open a split and read the captions of at most ``limit`` records. Damaged records are replaced as in training.

    Raises:
      DataError: the data set or the split is not there.
    """
    source = sources.open_source(data, split)
    indices = pipeline.spread(len(source), limit)
    digest, found = hashlib.sha256(f"{_VERSION} {data.resolution}".encode()), []

    def use(record: Record) -> tuple[str, str, bytes]:
        # What cannot be shown is passed over here too, so that captions and pictures are of the same records.
        pixels = _rendered(record, data)
        held = record.image if isinstance(record.image, bytes) else pixels.tobytes()
        return source.captions(record)[0], source.wording(record), held

    for index in indices:
        (caption, wording, held), _ = read_record(source, index, use)
        digest.update(f"{caption}\0{wording}\0".encode() + hashlib.sha256(held).digest())
        found.append((caption, wording))
    captions, wordings = zip(*found, strict=True)
    return Real(source, split, data, tuple(indices), captions, wordings, digest.hexdigest())


def _rendered(record: Record, data: config_lib.Data) -> np.ndarray:
    return transforms.render(record.image, (data.resolution, data.resolution), data.max_pixels)
