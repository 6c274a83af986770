"""In which words a picture is described.

A record's own text is its canonical caption. Training may vary it, so that a model understands "red apple, noto",
"a red apple" and "a picture of a red apple" alike, and may show the picture in another colour and say so.
"""

import re

import numpy as np

from dfjax import config
from dfjax.data.errors import DataError
from dfjax.data.records import Record
from dfjax.datasets.recolour import HUES, UNSEEN_PAIRS

# How often a caption names the style, where there is one. A caption without it fits several pictures, and teaches less.
_STYLED = 0.75
# Nouns that one cannot count, as far as the embedded data set has them: "a picture of broccoli".
_UNCOUNTABLE = frozenset(
    {
        "bacon", "bread", "broccoli", "butter", "corn", "fog", "fondue", "food", "garlic", "ice", "liquid",
        "mate", "meat", "milk", "oden", "popcorn", "rice", "sake", "salad", "salt", "spaghetti", "sushi",
        "water", "wood"
    }
)  # fmt: skip
# Nouns that end like a plural and are none.
_SINGULAR = frozenset(
    {
        "abacus", "bus", "cactus", "compass", "hibiscus", "lotus", "octopus", "swiss", "tennis", "trolleybus",
        "virus", "walrus"
    }
)  # fmt: skip


def canonical(record: Record) -> str:
    """The caption as the data set has it; a label by its name ("golden_retriever": "golden retriever")."""
    return record.text.replace("_", " ").strip() if record.is_label else record.text


def variants(record: Record) -> tuple[str, ...]:
    """Every way to say what the picture shows in its own colours, the canonical one first.

    With a concept and a style half of them name the style. A free text is only said as it is.
    """
    if record.concept:
        return _phrases(record.concept, record.style)
    if record.is_label:
        return _phrases(canonical(record), "")
    return (canonical(record),)


def colours(record: Record) -> tuple[str, ...]:
    """The hues that training may show this record in.

    None if it has too little colour, or if its name speaks of one ("a red leafy green"); and no unseen pair, in which
    "baguette bread" is also bread.
    """
    if not record.recolourable or not record.object or HUES.keys() & set(record.object.split()):
        return ()
    unseen = {colour for colour, thing in UNSEEN_PAIRS if f" {thing} " in f" {record.object} "}
    return tuple(colour for colour in HUES if colour not in unseen)


def coloured(record: Record, colour: str) -> tuple[str, ...]:
    """Every way to say that the picture shows its object in another colour, "blue apple, noto" first.

    Raises:
      DataError: training may not show the record in this colour.
    """
    if colour not in colours(record):
        raise DataError(f"training may not show {record.text!r} in {colour}")
    return _phrases(f"{colour} {record.object}", record.style)


def choose(record: Record, data: config.Data, rng: np.random.Generator) -> tuple[str, str | None]:
    """A caption drawn for training, and the hue to show the picture in, or None for its own colours."""
    allowed = colours(record)
    # All draws are made each time, so that what one key changes leaves the other draws alone.
    recolour, which_colour, which_caption = rng.random(3)
    colour = allowed[int(which_colour * len(allowed))] if allowed and recolour < data.recolour else None
    captions = coloured(record, colour) if colour else variants(record)
    if not data.vary_captions:
        return (captions[0] if colour else canonical(record)), colour
    return _pick(captions, bool(record.style), which_caption), colour


def _pick(captions: tuple[str, ...], styled: bool, u: float) -> str:
    """One of the captions by a number in [0, 1). Where their first half names the style, it gets _STYLED of it."""
    if not styled:
        return captions[int(u * len(captions))]
    half = len(captions) // 2
    if u < _STYLED:
        return captions[int(u / _STYLED * half)]
    return captions[half + int((u - _STYLED) / (1 - _STYLED) * half)]


def _phrases(thing: str, style: str) -> tuple[str, ...]:
    noun = with_article(thing)
    said = tuple(dict.fromkeys((thing, noun, f"a picture of {noun}")))
    return tuple(f"{phrase}, {style}" for phrase in said) + said if style else said


def with_article(thing: str) -> str:
    """ "a red apple", "an eggplant"; names, plurals and what one cannot count stay bare ("grapes", "sushi")."""
    last = re.split(" (?:of|with|without|on) ", thing)[0].split()[-1]  # An ear of corn is an ear.
    plural = last.endswith("s") and not last.endswith("ss") and last not in _SINGULAR
    if plural or last in _UNCOUNTABLE or thing[0].isupper():
        return thing
    sounds_open = thing[0] in "aeiou8" or thing.startswith(("hourglass", "11", "18"))
    silent = thing.startswith(("one", "uni", "ute", "eu"))
    return f"an {thing}" if sounds_open and not silent else f"a {thing}"
