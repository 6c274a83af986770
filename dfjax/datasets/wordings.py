"""In which words an emoji is described, and in which colours it may be shown.

Its own caption is "red apple, noto". Training may vary it, so that a model understands that, "a red apple" and "a
picture of a red apple" alike, and may show the picture in another colour and say so.
"""

import dataclasses

import numpy as np

from dfjax import config
from dfjax.data import captions
from dfjax.data.errors import DataError
from dfjax.data.source import Record
from dfjax.datasets.recolour import HUES, UNSEEN_PAIRS

# How often a caption names the style. A caption without it fits several pictures, and teaches less.
_STYLED = 0.75


@dataclasses.dataclass(frozen=True)
class EmojiRecord(Record):
    """A record whose caption has parts.

    Attributes:
      concept, style, object: "red apple", "noto", "apple".
      recolourable: whether the picture has enough colour to be shown in another hue.
    """

    concept: str = ""
    style: str = ""
    object: str = ""
    recolourable: bool = False


def variants(record: EmojiRecord) -> tuple[str, ...]:
    """Every way to say what the picture shows in its own colours; the first half name the style, where there is one."""
    if not record.concept:
        return captions.variants(record.text, record.is_label)
    return _phrases(record.concept, record.style)


def colours(record: EmojiRecord) -> tuple[str, ...]:
    """The hues that training may show this record in.

    None if it has too little colour, or if its name speaks of one ("a red leafy green"); and no unseen pair, in which
    "baguette bread" is also bread.
    """
    if not record.recolourable or not record.object or HUES.keys() & set(record.object.split()):
        return ()
    unseen = {colour for colour, thing in UNSEEN_PAIRS if f" {thing} " in f" {record.object} "}
    return tuple(colour for colour in HUES if colour not in unseen)


def coloured(record: EmojiRecord, colour: str) -> tuple[str, ...]:
    """Every way to say that the picture shows its object in another colour, "blue apple, noto" first.

    Raises:
      DataError: training may not show the record in this colour.
    """
    if colour not in colours(record):
        raise DataError(f"training may not show {record.text!r} in {colour}")
    return _phrases(f"{colour} {record.object}", record.style)


def every(record: EmojiRecord) -> tuple[str, ...]:
    """Every caption that training may give the record, its own first."""
    others = (caption for colour in colours(record) for caption in coloured(record, colour))
    return tuple(dict.fromkeys((record.text, *variants(record), *others)))


def choose(record: EmojiRecord, data: config.Data, rng: np.random.Generator) -> tuple[str, str | None]:
    """A caption drawn for training, and the hue to show the picture in, or None for its own colours."""
    allowed = colours(record)
    # All draws are made each time, so that what one key changes leaves the other draws alone.
    recolour, which_colour, which_caption = rng.random(3)
    colour = allowed[int(which_colour * len(allowed))] if allowed and recolour < data.recolour else None
    said = coloured(record, colour) if colour else variants(record)
    if not data.vary_captions:
        return (said[0] if colour else record.text), colour
    return _pick(said, bool(record.style), which_caption), colour


def _pick(said: tuple[str, ...], styled: bool, u: float) -> str:
    """One of the captions by a number in [0, 1). Where their first half names the style, it gets _STYLED of it."""
    if not styled:
        return said[int(u * len(said))]
    half = len(said) // 2
    if u < _STYLED:
        return said[int(u / _STYLED * half)]
    return said[half + int((u - _STYLED) / (1 - _STYLED) * half)]


def _phrases(thing: str, style: str) -> tuple[str, ...]:
    said = captions.phrases(thing)
    return tuple(f"{phrase}, {style}" for phrase in said) + said if style else said
