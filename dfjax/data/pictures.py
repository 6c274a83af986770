"""Records with their pictures decoded: of a small data set, each once in a process."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from dfjax.data import decoding, transforms
from dfjax.data.source import Record, Source

# A data set of more is met again only after it would have left the memory.
MOST_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Pictures:
    """``pictures[i]`` is a record and its picture at ``size`` (height, width), as it is; None where ``size`` is None.

    What is kept is what would be read again, so results do not depend on it. Picklable, which every worker needs.
    """

    source: Source
    size: transforms.Size | None
    max_pixels: int = decoding.MAX_PIXELS
    _kept: dict[int, tuple[Record, UInt8[np.ndarray, "height width 3"]]] = dataclasses.field(
        default_factory=dict, repr=False
    )

    def __len__(self) -> int:
        return len(self.source)

    def id(self, index: int) -> str:
        """The record's name."""
        return self.source.id(index)

    def __getitem__(self, index: int) -> tuple[Record, UInt8[np.ndarray, "height width 3"] | None]:
        """Raises BadRecord if the record cannot be read or decoded."""
        if index in self._kept:
            return self._kept[index]
        record = self.source[index]
        if self.size is None:
            return record, None
        pixels = transforms.render(record.image, self.size, self.max_pixels)
        # Or whom it is given to could change it for all.
        pixels.flags.writeable = False
        held = pixels.nbytes + sum(column.nbytes for column in record.columns.values())
        if len(self) * held <= MOST_BYTES:
            self._kept[index] = dataclasses.replace(record, image=None), pixels
        return record, pixels
