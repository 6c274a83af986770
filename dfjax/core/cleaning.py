"""A caption as plain text, the same wherever one is read: training, validation, tokenizer, prompts."""

import unicodedata

# No piece of SentencePiece's has more than 16 characters and no caption more than 4096 tokens (text.max_tokens): no
# network would see more of a longer text.
MAX_CHARACTERS = 16 * 4096
# Control and format characters show nothing, and direction marks hide what a text says.
_UNSEEN = frozenset({"Cc", "Cf"})
# Words of Persian and Indic scripts and emoji are spelt with the two joiners.
_JOINERS = frozenset("\u200c\u200d")


def clean(text: str) -> str:
    """``text`` without unseen characters, each run of white space (line breaks too) one space, none at the ends.

    Of more than MAX_CHARACTERS the rest is dropped. A text of which more than half is unseen is no text, but another
    kind of data: it is returned empty. (Of UTF-16 read as UTF-8 it is one half.)
    """
    words = " ".join(text[:MAX_CHARACTERS].split())
    if words.isprintable():
        return words
    kept = [char for char in words if unicodedata.category(char) not in _UNSEEN or char in _JOINERS]
    return " ".join("".join(kept).split()) if 2 * len(kept) >= len(words) else ""
