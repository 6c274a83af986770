"""A network, a config, a tokenizer and a batch, all of the smallest size that still has every part."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from dfjax import assembly
from dfjax import config as config_lib
from dfjax.inputs import network as network_lib
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.inputs.network import Network
from dfjax.models import denoiser as denoiser_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import state as state_lib
from dfjax.training import step as step_lib
from tests.recipe import VALUES

VOCAB = VALUES["text.vocab_size"]
CAPTIONS = ("a red apple", "a green apple", "a banana", "a picture of a watermelon", "red panda", "owl", "deer")


def config(values: dict[str, Any] | None = None) -> config_lib.Config:
    """The small config, with ``values`` by full key."""
    return config_lib.Config().with_(VALUES | (values or {}))


def network(values: dict[str, Any] | None = None, mesh: Mesh | None = None) -> Network:
    """The networks of the small config, around a tokenizer that knows CAPTIONS."""
    wanted = config(values)
    return network_lib.make(wanted, saved=tokenizer(wanted.text.max_tokens).model, mesh=mesh)


def denoiser(values: dict[str, Any] | None = None) -> denoiser_lib.Denoiser:
    return network(values).denoiser


def optimizer(of: Network) -> optax.GradientTransformation:
    return assembly.named_optimizer(of.config, of.described)


def one_device() -> Mesh:
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])


def started(of: Network, seed: int = 0) -> tuple[Any, Any]:
    """A new state on one device, and the step to take from there."""
    mesh, own = one_device(), optimizer(of)
    state = state_lib.create(of, own, mesh, seed=seed, ema_stds=of.config.optim.ema_stds)
    return state, step_lib.make(of, own, mesh, jax.tree.map(lambda leaf: leaf.sharding, state))


def params(network: denoiser_lib.Denoiser | Network, seed: int = 0) -> Any:
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
