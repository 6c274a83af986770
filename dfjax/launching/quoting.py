"""Words for programs that take a command as one text and put it, as it is, into a text of their own."""

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
# What means something to the shell between $' and ', to YAML between double quotes, or is no printable ASCII.
_SPECIAL = re.compile(rb"[^ -~]|['\"\\$`]")


def bash(words: Iterable[str]) -> str:
    """One line of bash that has the words whole: plain ones as they are, others as ``$'...'`` with ``\\xHH`` for bytes.

    The line has no newline, quote, dollar or backslash of the words themselves, so that it also survives YAML between
    double quotes (to YAML, too, ``\\xHH`` is an escape), an indented block, and the ``$(NAME)`` of Kubernetes.
    """
    return " ".join(word if _PLAIN.fullmatch(word) else f"$'{_escaped(word)}'" for word in words)


def _escaped(word: str) -> str:
    found = _SPECIAL.sub(lambda match: b"\\x%02x" % match[0][0], word.encode("utf-8", "surrogateescape"))
    return found.decode("ascii")
