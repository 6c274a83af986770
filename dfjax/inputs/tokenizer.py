"""Captions to token ids and back, by SentencePiece."""

import collections
import io
import itertools
import logging
import unicodedata
from collections.abc import Iterable

import numpy as np
import sentencepiece
from jaxtyping import Int

from dfjax.core.cleaning import MAX_CHARACTERS, clean
from dfjax.core.errors import DfjaxError

_log = logging.getLogger(__name__)

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3
_MIN_PIECES = 300
_GIVEN_PIECES = 4 + 256 + 1  # The special ones, bytes, and the space.


class TokenizerError(DfjaxError, ValueError):
    """A tokenizer file that cannot be read, or captions that none can be learned from."""


class Tokenizer:
    """Byte-pair pieces with a fall-back to bytes, so that any Unicode text encodes and nothing is out of vocabulary.

    Ids are BEGIN, the pieces, END, then PAD up to ``max_tokens``. Picklable: it is its file.
    """

    def __init__(self, model: bytes, max_tokens: int):
        """Load a SentencePiece model file's bytes. Raises TokenizerError if they are not one."""
        self.model = model
        self.max_tokens = max_tokens
        try:
            self._pieces = sentencepiece.SentencePieceProcessor()
            self._pieces.LoadFromSerializedProto(model)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TokenizerError("the tokenizer file is damaged: it is no SentencePiece model") from error

    def __reduce__(self):
        return Tokenizer, (self.model, self.max_tokens)

    @property
    def vocab_size(self) -> int:
        return self._pieces.vocab_size()

    def encode(self, text: str) -> Int[np.ndarray, "max_tokens"]:
        """int32 ids of one caption; a caption that is too long is cut before END. See :meth:`is_cut`."""
        ids = [BEGIN, *self._pieces.encode(_normal(text))[: self.max_tokens - 2], END]
        return np.array(ids + [PAD] * (self.max_tokens - len(ids)), np.int32)

    def is_cut(self, text: str) -> bool:
        """Whether :meth:`encode` loses the end of this text."""
        return len(self._pieces.encode(_normal(text))) > self.max_tokens - 2

    def decode(self, ids: Int[np.ndarray, "max_tokens"]) -> str:
        """The text of some ids, without the special ones."""
        return self._pieces.decode([int(i) for i in ids if i not in (PAD, BEGIN, END)])

    def null(self) -> Int[np.ndarray, "max_tokens"]:
        """The null caption: no words. The one used by caption dropout is the one used by guidance."""
        return self.encode("")


def _normal(text: str) -> str:
    """Clean and lower case: prompts start with a capital or not, captions in few sets care.

    Bytes of a command line that are no UTF-8 become question marks.
    """
    return clean(text).lower().encode("utf-8", "replace").decode("utf-8")


def learn(captions: Iterable[str], vocab_size: int, max_tokens: int) -> Tokenizer:
    """Learn pieces from captions. The same captions give the same bytes.

    Args:
      vocab_size: most pieces to learn, 256 bytes and 4 special ones included; fewer where the captions hold fewer.

    Raises:
      TokenizerError: there is not one letter in the captions.
    """
    sentences = [line for line in map(_normal, captions) if line]
    if not sentences:
        raise TokenizerError("no tokenizer can be learned: every caption is empty; is data.text_key the right feature?")
    out = io.BytesIO()
    vocab_size = max(vocab_size, _MIN_PIECES)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_without_rare(sentences, vocab_size - _GIVEN_PIECES)),
        model_writer=out,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=0.9999,
        split_digits=True,
        num_threads=1,
        max_sentence_length=4 * MAX_CHARACTERS,
        minloglevel=2,
        pad_id=PAD,
        unk_id=UNKNOWN,
        bos_id=BEGIN,
        eos_id=END,
    )
    tokenizer = Tokenizer(out.getvalue(), max_tokens)
    _log.info("learned a tokenizer of %d pieces from %d captions", tokenizer.vocab_size, len(sentences))
    return tokenizer


def _without_rare(sentences: list[str], most: int) -> list[str]:
    """The sentences with only the ``most`` commonest characters, if there are more: the others are told in bytes.

    SentencePiece makes a piece of each character, and refuses to learn where that alone is too many.
    """
    # Its own normal form, in which it counts.
    normal = [unicodedata.normalize("NFKC", sentence) for sentence in sentences]
    counts = collections.Counter(itertools.chain.from_iterable(normal))
    if len(counts) <= most:
        return sentences
    kept = set(sorted(counts, key=lambda char: (-counts[char], char))[:most])
    return ["".join(char if char in kept else " " for char in sentence) for sentence in normal]
