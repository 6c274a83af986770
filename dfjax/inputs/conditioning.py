"""A port: captions to what conditions the network, the null caption, and the arrays of a batch that carry both.

A condition is a tree of arrays, such as token ids or a frozen encoder's features with their mask; the null
caption is such a tree without the axis of the batch, the same object in caption dropout and in guidance.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dfjax.config import Config, ConfigError
from dfjax.inputs.tokenizer import Tokenizer, learn
from dfjax.models.inputs import Features

Batch = Mapping[str, Array]


class Conditioner:
    """What the house asks of a conditioner; one of your own is picklable, since it goes to the workers of a pipeline.

    Attributes:
      spec: the arrays of an example that it reads, by name, without the batch axis.
      vocab_size: its ids are below it; 0 where it has none.
      saved: its state as bytes, which every checkpoint keeps; empty where it has none.
      obstacle: why it knows no words of its own, so that nothing can be drawn for a prompt; empty where it does.
    """

    vocab_size: int = 0
    saved: bytes = b""
    obstacle = ""

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        raise NotImplementedError

    def row(self, caption: str, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Its arrays of one example, apart from those that are columns of the source already: all, by default."""
        return {}

    def is_cut(self, caption: str) -> bool:
        """Whether :meth:`row` loses the end of this caption."""
        return False

    def kept(self, caption: str) -> str:
        """What is left of a caption that is cut."""
        return caption

    def condition(self, batch: Batch) -> Any:
        """The condition of the rows of a batch."""
        raise NotImplementedError

    def null(self) -> Any:
        """The null caption: what :meth:`condition` gives for a row without words, without the axis of the batch."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Unlearned:
    """Stands in for a tokenizer where sizes alone count, as in a plan: it knows no word."""

    max_tokens: int
    vocab_size: int

    def encode(self, text: str) -> np.ndarray:
        return np.ones(self.max_tokens, np.int32)

    def is_cut(self, text: str) -> bool:
        return False

    def decode(self, ids: np.ndarray) -> str:
        return ""

    def null(self) -> np.ndarray:
        return self.encode("")

    @property
    def model(self) -> bytes:
        raise ConfigError("a tokenizer that was not learned cannot be saved")


@dataclasses.dataclass(frozen=True)
class Tokens(Conditioner):
    """Ids of a learned tokenizer, for a network with a text tower of its own."""

    tokenizer: Tokenizer | Unlearned

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {"tokens": jax.ShapeDtypeStruct((self.tokenizer.max_tokens,), jnp.int32)}

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        return self.tokenizer.vocab_size

    @property
    def saved(self) -> bytes:  # type: ignore[override]
        return self.tokenizer.model

    def row(self, caption, columns):
        return {"tokens": self.tokenizer.encode(caption)}

    def is_cut(self, caption):
        return self.tokenizer.is_cut(caption)

    def kept(self, caption):
        return self.tokenizer.decode(self.tokenizer.encode(caption))

    def condition(self, batch):
        return batch["tokens"]

    def null(self):
        return self.tokenizer.null()


@dataclasses.dataclass(frozen=True)
class GivenFeatures(Conditioner):
    """A frozen encoder's features, given as they are. Of a prompt there are none: the encoder is not at hand."""

    tokens: int
    channels: int
    obstacle = "this run takes a frozen encoder's features, which dfjax cannot yet make of a caption"

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {
            "features": jax.ShapeDtypeStruct((self.tokens, self.channels), jnp.bfloat16),
            "feature_mask": jax.ShapeDtypeStruct((self.tokens,), jnp.bool),
        }

    def condition(self, batch):
        return Features(batch["features"], batch["feature_mask"])

    def null(self):
        """One token of zeros, the others padding."""
        return Features(jnp.zeros((self.tokens, self.channels), jnp.bfloat16), jnp.arange(self.tokens) < 1)


def tokens(config: Config, saved: bytes | None, captions: Iterable[str] | None) -> Tokens:
    """The tokenizer that a checkpoint has, or one learned from captions; with neither, one of sizes alone."""
    if saved is not None:
        return Tokens(Tokenizer(saved, config.text.max_tokens))
    if captions is None:
        return Tokens(Unlearned(config.text.max_tokens, config.text.vocab_size))
    return Tokens(learn(captions, config.text.vocab_size, config.text.max_tokens))


def features(config: Config, saved: bytes | None, captions: Iterable[str] | None) -> GivenFeatures:
    """Features of text.features channels, text.max_tokens a caption."""
    return GivenFeatures(config.text.max_tokens, config.text.features)


def specified(conditioner: Conditioner) -> Any:
    """The shapes and types of one example's condition, without the axis of the batch."""
    one = {name: jax.ShapeDtypeStruct((1, *of.shape), of.dtype) for name, of in conditioner.spec.items()}
    found = jax.eval_shape(conditioner.condition, one)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), found)


def of_prompts(conditioner: Conditioner, prompts: Sequence[str]) -> Any:
    """The condition of some prompts, as host arrays [prompts, ...]: as of a batch's captions.

    Raises:
      ConfigError: the conditioner knows no words of its own.
    """
    if conditioner.obstacle:
        raise ConfigError(conditioner.obstacle)
    rows = [conditioner.row(prompt, {}) for prompt in prompts]
    batch: Any = {name: np.stack([row[name] for row in rows]) for name in conditioner.spec}
    return jax.tree.map(np.asarray, conditioner.condition(batch))


def of_null(conditioner: Conditioner, count: int) -> Any:
    """The null caption ``count`` times, as host arrays [count, ...]."""
    null = jax.tree.map(np.asarray, conditioner.null())
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *leaf.shape)), null)
