"""From captions to embeddings: one network and its published tokenizer, the same in any batch."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfjax.core import fingerprint
from dfjax.pretrained import operations as ops
from dfjax.weights.files import WeightsError

_log = logging.getLogger(__name__)

# Grows where the same parameters would give other embeddings: what was fitted to those of before is refused then.
_VERSION = 1
# Tokens of a batch: many short captions, or few long ones.
_TOKENS = 1024
# Captions are padded to the next multiple of this: their own length alone decides it, never that of another.
_STEP = 16

Ids = Int[Array, "batch tokens"]
Lengths = Int[Array, "batch"]
Apply = Callable[[Mapping[str, Array], Ids, Lengths], Float[Array, "batch size"]]


class Encoder:
    """Embeddings of captions, by a network with fixed parameters. Computed in float32 on each process by itself.

    An embedding does not depend on the other captions, and one that comes twice is computed once.

    Attributes:
      name: of the network. size: numbers of an embedding. fingerprint: SHA-256 of all that embeddings depend on.
    """

    def __init__(
        self,
        name: str,
        apply: Apply,
        params: Mapping[str, np.ndarray],
        tokenizer: Path,
        max_tokens: int,
        vocabulary: str,
    ):
        """Nothing is compiled before the first call.

        Args:
          apply: the network, of parameters by name, token ids, and how many of each row are real.
          tokenizer: a ``tokenizer.json``. max_tokens: longer captions are cut to this, with a warning.
          vocabulary: name of the parameter that has a row for each token.

        Raises:
          WeightsError: the tokenizer cannot be read, or the parameters are not those of the network.
        """
        self.name, self.max_tokens = name, max_tokens
        self._params = {key: np.asarray(value, np.float32) for key, value in params.items() if value.dtype.kind == "f"}
        self._tokenizer, source = _read_tokenizer(tokenizer, max_tokens)
        ids, lengths = (jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((1, max_tokens), (1,)))
        self.size = int(jax.eval_shape(apply, self._params, ids, lengths).shape[1])
        known, rows = self._tokenizer.get_vocab_size(), len(self._params[vocabulary])
        if known > rows:  # An index that is out of bounds would give the last row, silently.
            raise WeightsError(f"{tokenizer.name} knows {known} tokens, and the weights have {rows}")
        said = (name, _VERSION, max_tokens, fingerprint.of_arrays(self._params), hashlib.sha256(source).hexdigest())
        self.fingerprint = hashlib.sha256(repr(said).encode()).hexdigest()
        self._on_device: Mapping[str, Array] | None = None

        def encode(params: Mapping[str, Array], ids: Ids, lengths: Lengths) -> Float[Array, "batch size"]:
            with jax.default_matmul_precision("highest"):
                return apply(params, ids, lengths)

        self._encode = jax.jit(encode)

    def __call__(self, captions: Sequence[str]) -> Float[np.ndarray, "n size"]:
        """float32 embeddings, row by row."""
        if self._on_device is None:
            self._on_device = jax.device_put(self._params)
        distinct = list(dict.fromkeys(captions))
        ids = self._ids(distinct)
        padded = [min(-(-len(each) // _STEP) * _STEP, self.max_tokens) for each in ids]
        embeddings = np.empty((len(distinct), self.size), np.float32)
        for width in sorted(set(padded)):
            rows = [row for row, its in enumerate(padded) if its == width]
            size = _TOKENS // width or 1
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                embeddings[part] = self._batch([ids[row] for row in part], size, width)
        place = {caption: row for row, caption in enumerate(distinct)}
        return embeddings[[place[caption] for caption in captions]]

    def _batch(self, ids: list[list[int]], size: int, width: int) -> Float[np.ndarray, "batch size"]:
        """Embeddings of at most ``size`` captions, in a program for exactly so many."""
        filled, lengths = np.zeros((size, width), np.int32), np.ones(size, np.int32)
        for row, each in enumerate(ids):
            filled[row, : len(each)], lengths[row] = each, len(each)
        return np.asarray(self._encode(self._on_device, filled, lengths))[: len(ids)]

    def _ids(self, captions: list[str]) -> list[list[int]]:
        # What is no Unicode, such as bytes of a command line that are no UTF-8, becomes a question mark.
        clean = [caption.encode("utf-8", "replace").decode("utf-8") for caption in captions]
        encoded = self._tokenizer.encode_batch(clean)
        if cut := sum(bool(each.overflowing) for each in encoded):
            _log.warning("%s sees only the first %d tokens of %d captions", self.name, self.max_tokens, cut)
        return [each.ids for each in encoded]


def _read_tokenizer(path: Path, max_tokens: int):
    """A tokenizer that cuts and does not pad, and its file's bytes."""
    try:
        import tokenizers
    except ImportError as error:
        raise WeightsError("embeddings of captions need the package tokenizers: pip install 'dfjax[eval]'") from error
    try:
        source = path.read_bytes()
        made = tokenizers.Tokenizer.from_buffer(source)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # The package raises no kind of its own.
        raise WeightsError(f"{path} is no tokenizer file: {error}") from error
    made.no_padding()
    made.enable_truncation(max_tokens)
    return made, source


def depth(params: ops.Params, name: str) -> int:
    """Layers of a transformer; ``name`` is that of a parameter that each has, with {} for the layer's number.

    Raises:
      WeightsError: there is not one.
    """
    found = 0
    while name.format(found) in params:
        found += 1
    if not found:
        raise WeightsError(f"there is no {name.format(0)!r} in it")
    return found


def attend(
    query: Float[Array, "batch tokens width"],
    key: Float[Array, "batch tokens width"],
    value: Float[Array, "batch tokens width"],
    heads: int,
    mask: Array | None = None,
) -> Float[Array, "batch tokens width"]:
    """Attention with several heads. ``mask``: which keys count, in any shape that fits [batch, heads, query, key].

    Raises:
      WeightsError: the heads do not divide the width.
    """
    batch, tokens, width = query.shape
    if heads < 1 or width % heads:
        raise WeightsError(f"a width of {width} is not that of {heads} heads")
    query, key, value = (x.reshape(batch, tokens, heads, width // heads) for x in (query, key, value))
    likeness = jnp.einsum("bqhd,bkhd->bhqk", query * (width // heads) ** -0.5, key)
    if mask is not None:
        likeness = jnp.where(mask, likeness, -jnp.inf)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(likeness), value).reshape(batch, tokens, width)
