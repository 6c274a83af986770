"""A denoiser as a pure function of its parameters: what trainer and sampler call."""

import dataclasses
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from dfjax import config as config_lib
from dfjax.models.transformer import Transformer, TransformerShape

Params = dict[str, Any]
Images = Float[Array, "batch height width channels"]


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A network's graph, apart from its parameters (a nested dict of float32 arrays)."""

    graph: nnx.GraphDef
    abstract: nnx.State
    make: Any
    image_shape: tuple[int, int, int]
    max_tokens: int

    def init(self, key: Key[Array, ""]) -> Params:
        """Random parameters. Trace it in ``jit`` with shardings: no device ever holds them all."""
        return nnx.to_pure_dict(nnx.state(self.make(nnx.Rngs(key)), nnx.Param))

    def abstract_params(self) -> Params:
        """The parameters' shapes and types."""
        return nnx.to_pure_dict(self.abstract)

    def apply(self, params: Params, z: Images, t: Float[Array, "batch"], ids: Int[Array, "batch tokens"]) -> Images:
        """The prediction for noisy pictures z at levels t in [0, 1] with captions ids."""
        return self._network(params)(z, t, ids)

    def log_variance(self, params: Params, t: Float[Array, "batch"]) -> Float[Array, "batch"]:
        """The learned log of the mean loss at levels t; only where the config has diffusion.learned_variance."""
        return self._network(params).log_variance(t)

    def _network(self, params: Params) -> Any:
        # A State and its pure dict flatten in the same order, by sorted names.
        state = jax.tree.unflatten(jax.tree.structure(self.abstract), jax.tree.leaves(params))
        return nnx.merge(self.graph, state)


def make(config: config_lib.Config, vocab_size: int) -> Denoiser:
    """The denoiser that the config describes, over a tokenizer of ``vocab_size`` pieces."""
    model = config.model
    shape = TransformerShape(
        resolution=config.data.resolution,
        vocab_size=vocab_size,
        max_tokens=config.text.max_tokens,
        text_depth=config.text.depth,
        learned_variance=config.diffusion.learned_variance,
        **dataclasses.asdict(model),
    )

    def build(rngs: nnx.Rngs) -> Transformer:
        return Transformer(shape, rngs=rngs)

    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(jax.random.key(0)))), nnx.Param)
    side = config.data.resolution
    return Denoiser(graph, abstract, build, (side, side, shape.channels), config.text.max_tokens)
