"""In which words a class is named: "golden retriever", "a golden retriever", "a picture of a golden retriever"."""

import re

# Nouns that one cannot count: "a picture of broccoli".
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


def variants(text: str, is_label: bool) -> tuple[str, ...]:
    """Every way to say a record's text, its own first: a free text only as it is, the name of a class as a phrase."""
    return phrases(text.replace("_", " ").strip()) if is_label else (text,)


def phrases(thing: str) -> tuple[str, ...]:
    """A thing bare, with its article, and as a picture of it; none twice."""
    noun = with_article(thing)
    return tuple(dict.fromkeys((thing, noun, f"a picture of {noun}")))


def with_article(thing: str) -> str:
    """ "a red apple", "an eggplant"; names, plurals and what one cannot count stay bare ("grapes", "sushi")."""
    last = re.split(" (?:of|with|without|on) ", thing)[0].split()[-1]  # An ear of corn is an ear.
    plural = last.endswith("s") and not last.endswith("ss") and last not in _SINGULAR
    if plural or last in _UNCOUNTABLE or thing[0].isupper():
        return thing
    sounds_open = thing[0] in "aeiou8" or thing.startswith(("hourglass", "11", "18"))
    silent = thing.startswith(("one", "uni", "ute", "eu"))
    return f"an {thing}" if sounds_open and not silent else f"a {thing}"
