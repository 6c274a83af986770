"""HTML of which nothing that a run says can become a part: what is not made here is text."""

import html
from typing import Any


class Safe(str):
    """HTML that was made by this module's functions."""

    __slots__ = ()


def text(value: Any) -> Safe:
    """A value as text of the page."""
    return value if isinstance(value, Safe) else Safe(html.escape(str(value)))


def join(*inside: Any) -> Safe:
    """Values one after another; lists and tuples of them too, and nothing for None."""
    found = []
    for each in inside:
        if isinstance(each, list | tuple):
            found.append(join(*each))
        elif each is not None:
            found.append(text(each))
    return Safe("".join(found))


def tag(name: str, /, *inside: Any, **attributes: Any) -> Safe:
    """An element. ``class_`` is the attribute class, ``data_x`` is data-x; one that is None is left out."""
    said = [
        f' {key.strip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return Safe(f"<{name}{''.join(said)}>{join(*inside)}</{name}>")
