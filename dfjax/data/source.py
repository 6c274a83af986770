"""A port: where records come from. A record is a picture in some form, what is said of it, and columns of numbers."""

import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import jax
import numpy as np
from jaxtyping import UInt8

from dfjax import config
from dfjax.data import captions
from dfjax.data.errors import BadRecord, DataError
from dfjax.inputs.spec import Inputs

T = TypeVar("T")
R = TypeVar("R", covariant=True)
Picture = UInt8[np.ndarray, "height width 3"]

# Names that a batch has besides the arrays of its rows.
_RESERVED = ("mask",)
_MOST_DAMAGED = 100
_LONGEST_REASON = 200


@dataclasses.dataclass(frozen=True)
class Record:
    """One example as it is stored.

    Attributes:
      id: names the record for people and ledgers, stable for one build of a data set: "emoji_captions/train[17]".
      image: an encoded picture, or a decoded one, uint8 [height, width] or [height, width, 1, 3 or 4]; None where there
        is none.
      text: the caption, or the name of the class.
      is_label: whether ``text`` is the name of a class.
      category: a group of records, where the data set has them: "Food & Drink".
      columns: arrays that objective and conditioner may read, by name: a score, a mask, a class.
    """

    id: str
    image: bytes | np.ndarray | None
    text: str
    is_label: bool = False
    category: str = ""
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Varied:
    """How a record is shown once in training: in which words, and with what done to its picture, None: nothing.

    ``change`` takes the picture at the resolution of training, before it is mirrored, and gives another of its shape.
    """

    caption: str
    change: Callable[[Picture], Picture] | None = None


class Source(Protocol):
    """Records by index, read at random: what the house asks of a data set. Picklable: it goes to the workers.

    Attributes:
      columns: the arrays that every record brings besides picture and caption, by name, without the batch axis. They
        reach objective and conditioner, sharded over the batch like the rest. ``data.flip`` mirrors the picture alone.
    """

    @property
    def columns(self) -> Mapping[str, jax.ShapeDtypeStruct]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record:
        """Raises BadRecord for one that cannot be used, which is replaced and listed; DataError ends the run."""
        ...

    def id(self, index: int) -> str:
        """The record's name, which needs no reading."""
        ...

    def identity(self) -> dict[str, str]:
        """What decides which record is the one of an index, in words: a run may go on only where they are the same."""
        ...

    def captions(self, record: Record) -> Sequence[str]:
        """Every caption that training may give the record; the first is its own, which validation uses."""
        ...

    def wording(self, record: Record) -> str:
        """The caption by which its picture is told from others."""
        ...

    def vary(self, record: Record, data: config.Data, rng: np.random.Generator) -> Varied:
        """A caption drawn for training, and what is done to the picture to go with it. All draws are from ``rng``."""
        ...


class Base:
    """What most sources have in common: a data set of one's own adds ``__len__``, ``__getitem__`` and ``identity``."""

    columns: Mapping[str, jax.ShapeDtypeStruct] = types.MappingProxyType({})

    def id(self, index: int) -> str:
        """Its class and number."""
        return f"{type(self).__name__}[{index}]"

    def captions(self, record: Record) -> Sequence[str]:
        """A text as it is; a label also with its article, and as a picture of it."""
        return captions.variants(record.text, record.is_label)

    def wording(self, record: Record) -> str:
        """Its own caption."""
        return self.captions(record)[0]

    def vary(self, record: Record, data: config.Data, rng: np.random.Generator) -> Varied:
        """With data.vary_captions any of its captions, by the last of three draws."""
        # Three, as for a source that varies pictures too: what one key changes leaves other draws alone.
        *_, which = rng.random(3)
        said = self.captions(record)
        return Varied(said[int(which * len(said))] if data.vary_captions else said[0])


class Records(Protocol[R]):
    """What :func:`read` needs of a source: its length, names, and records of any kind by index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> R: ...
    def id(self, index: int) -> str: ...


def read(records: Records[R], index: int, use: Callable[[R], T]) -> tuple[T, list[tuple[str, str]]]:
    """``use(record)`` of a record; where that raises BadRecord, of the next one that does not.

    Returns:
      The result, and (id, reason) of each record that was passed over. Both depend on the data and ``index`` alone.

    Raises:
      DataError: too many records in a row are damaged.
    """
    passed_over: list[tuple[str, str]] = []
    for step in range(min(_MOST_DAMAGED, len(records))):
        candidate = (index + step) % len(records)
        try:
            return use(records[candidate]), passed_over
        except BadRecord as error:
            passed_over.append((records.id(candidate), _reason(error)))
    first_id, reason = passed_over[0]
    raise DataError(
        f"{len(passed_over)} records in a row cannot be used, from {first_id} ({reason}); prepare the data set again"
    )


def _reason(error: BadRecord) -> str:
    """In one printable line, the same in every process: a library's words may hold what the record held."""
    words = re.sub("0x[0-9a-f]{6,}", "0x...", " ".join(str(error).split()))
    return "".join(char if char.isprintable() else "?" for char in words[:_LONGEST_REASON])


def check_columns(inputs: Inputs) -> None:
    """Refuse columns of a source whose names a batch has for something else.

    Raises:
      DataError: a name is reserved, or is an array of codec or conditioner of another shape or type.
    """
    own = {**inputs.codec.spec, **inputs.conditioner.spec}
    for name, column in inputs.columns.items():
        if name in _RESERVED:
            raise DataError(f"a column of the data source is called {name!r}, which validation needs: rename it")
        if (wanted := own.get(name)) and (wanted.shape, wanted.dtype) != (column.shape, column.dtype):
            raise DataError(
                f"a column of the data source is called {name!r}, as what the network is given is: that is "
                f"{wanted.dtype.name} {wanted.shape}, and the column {column.dtype.name} {column.shape}; rename it"
            )
