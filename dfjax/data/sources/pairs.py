"""A source out of pictures and captions that a program has at hand."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from PIL import Image

from dfjax.data import decoding
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import Base, Record

# Decoded, of Pillow, encoded, or the path of an encoded file.
Picture: TypeAlias = np.ndarray | Image.Image | bytes | str | os.PathLike


def of_pairs(
    pairs: Sequence[tuple[Picture, str] | tuple[Picture, str, Mapping[str, Any]]], name: str = "pairs"
) -> "Pairs":
    """A source of (picture, caption) or (picture, caption, columns).

    Args:
      pairs: a picture is uint8 [height, width(, 1, 3 or 4)], Pillow's, encoded bytes or a path; None where columns are
        all there is. Columns are arrays or numbers, of the same names, shapes and types in each.
      name: of the data set and its split, in the ids of records.

    Raises:
      DataError: there are no pairs, or their columns differ.
    """
    if not len(pairs):
        raise DataError(f"a source needs pairs of picture and caption, and {name!r} has none")
    # What another program would make of numbers: 32 bits, which is all that a device takes.
    found = [{key: _array(value) for key, value in (pair[2:] or ({},))[0].items()} for pair in pairs]
    columns = {key: jax.ShapeDtypeStruct(value.shape, value.dtype) for key, value in found[0].items()}
    for place, each in enumerate(found):
        if {key: jax.ShapeDtypeStruct(value.shape, value.dtype) for key, value in each.items()} != columns:
            raise DataError(f"the columns of pair {place} of {name!r} are not those of the first: {_said(columns)}")
    return Pairs(name, tuple((*pair[:2], each) for pair, each in zip(pairs, found, strict=True)), columns)


@dataclasses.dataclass(frozen=True)
class Pairs(Base):
    """See :func:`of_pairs`."""

    name: str
    pairs: tuple[tuple[Picture, str, Mapping[str, np.ndarray]], ...]
    columns: Mapping[str, jax.ShapeDtypeStruct] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def id(self, index: int) -> str:
        """The record's name and number."""
        return f"{self.name}[{index}]"

    def __getitem__(self, index: int) -> Record:
        """Raises BadRecord if its file cannot be read, or its caption is empty."""
        picture, caption, columns = self.pairs[index]
        if not caption.strip():
            raise BadRecord("its caption is empty")
        try:
            return Record(self.id(index), _stored(picture), caption, columns=columns)
        except OSError as error:
            raise BadRecord(f"its file cannot be read: {error.strerror}") from error

    def identity(self) -> dict[str, str]:
        """A hash of all that the pairs hold, files included, which is taken once."""
        return {"split": self.name, "records": str(len(self)), "content": self._content}

    @functools.cached_property
    def _content(self) -> str:
        total = hashlib.sha256()
        for index, (_, caption, columns) in enumerate(self.pairs):
            try:
                image = self[index].image
            except BadRecord:
                image = None
            for part in (image, caption.encode(), *(columns[key] for key in sorted(columns))):
                shape = part.shape if isinstance(part, np.ndarray) else ()
                held = np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else part or b""
                total.update(repr(shape).encode() + hashlib.sha256(held).digest())
        return total.hexdigest()[:16]


def _stored(picture: Picture | None) -> bytes | np.ndarray | None:
    if isinstance(picture, Image.Image):
        return np.asarray(decoding.to_rgb(picture))
    return pathlib.Path(picture).read_bytes() if isinstance(picture, str | os.PathLike) else picture


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype))


def _said(columns: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    return ", ".join(f"{key} {each.dtype.name} {each.shape}" for key, each in columns.items()) or "none"
