"""A network, a config, a tokenizer and a batch, all of the smallest size that still has every part."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dfjax import config as config_lib
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.models import denoiser as denoiser_lib
from tests.recipe import VALUES

VOCAB = VALUES["text.vocab_size"]
CAPTIONS = ("a red apple", "a green apple", "a banana", "a picture of a watermelon", "red panda", "owl", "deer")


def config(values: dict[str, Any] | None = None) -> config_lib.Config:
    """The small config, with ``values`` by full key."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in (VALUES | (values or {})).items():
        section, name = key.split(".")
        nested.setdefault(section, {})[name] = value
    return config_lib.resolve(nested)


def denoiser(values: dict[str, Any] | None = None) -> denoiser_lib.Denoiser:
    return denoiser_lib.make(config(values), VOCAB)


def params(network: denoiser_lib.Denoiser, seed: int = 0) -> Any:
    """Random parameters. Those of a new network hold zeros, behind which nothing shows and no gradient passes."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.2 * rng.normal(size=leaf.shape), leaf.dtype), network.abstract_params()
    )


def tokenizer(max_tokens: int = 8) -> tokenizer_lib.Tokenizer:
    return tokenizer_lib.learn(CAPTIONS, VOCAB, max_tokens)


def batch(size: int = 16, resolution: int = 16, max_tokens: int = 8, seed: int = 0) -> dict[str, jax.Array]:
    """Random pictures, with captions of 2 to ``max_tokens`` ids."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, VOCAB, (size, max_tokens))
    lengths = rng.integers(2, max_tokens + 1, (size, 1))
    return {
        "image": jnp.asarray(rng.integers(0, 256, (size, resolution, resolution, 3)), jnp.uint8),
        "tokens": jnp.asarray(np.where(np.arange(max_tokens) < lengths, tokens, 0), jnp.int32),
    }
