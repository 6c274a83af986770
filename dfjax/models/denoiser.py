"""A denoiser as a pure function of its parameters: what trainer and sampler call."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from dfjax import config as config_lib
from dfjax.models.layout import ONE_DEVICE, Layout
from dfjax.models.mmdit import Features, MMDiT, MMDiTShape
from dfjax.models.transformer import Transformer, TransformerShape

Params = dict[str, Any]
Images = Float[Array, "batch height width channels"]
# Token ids, or what a frozen encoder makes of them.
Caption = Int[Array, "batch tokens"] | Features


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A network's graph, apart from its parameters (a nested dict of float32 arrays)."""

    graph: nnx.GraphDef
    abstract: nnx.State
    make: Callable[[Layout, nnx.Rngs], nnx.Module]
    image_shape: tuple[int, int, int]
    max_tokens: int
    layout: Layout

    def init(self, key: Key[Array, ""]) -> Params:
        """Random parameters. Trace it in ``jit`` with shardings: no device ever holds them all."""
        return nnx.to_pure_dict(nnx.state(self.make(self.layout, nnx.Rngs(key)), nnx.Param))

    def abstract_params(self) -> Params:
        """The parameters' shapes and types."""
        return nnx.to_pure_dict(self.abstract)

    def apply(self, params: Params, z: Images, t: Float[Array, "batch"], caption: Caption) -> Images:
        """The prediction for noisy pictures z at levels t in [0, 1] with their captions."""
        return self._network(params)(z, t, caption)

    def log_variance(self, params: Params, t: Float[Array, "batch"]) -> Float[Array, "batch"]:
        """The learned log of the mean loss at levels t; only where the config has diffusion.learned_variance."""
        return self._network(params).log_variance(t)

    def on(self, layout: Layout) -> "Denoiser":
        """The same network, whose arrays lie otherwise."""
        return dataclasses.replace(self, layout=layout, **_split(self.make, layout))

    def _network(self, params: Params) -> Any:
        # What is not stacked is fetched here, the stacked layers one by one where they run.
        whole = {
            name: part if "blocks" in name else _around_stacks(self.layout, name, part) for name, part in params.items()
        }
        # A State and its pure dict flatten in the same order, by sorted names.
        state = jax.tree.unflatten(jax.tree.structure(self.abstract), jax.tree.leaves(whole))
        return nnx.merge(self.graph, state)


def _around_stacks(layout: Layout, name: str, part: Params) -> Params:
    if "blocks" not in part:
        return layout.weights({name: part})[name]
    return {
        inner: value if inner == "blocks" else layout.weights({inner: value})[inner] for inner, value in part.items()
    }


def make(config: config_lib.Config, vocab_size: int, layout: Layout = ONE_DEVICE) -> Denoiser:
    """The denoiser that the config describes, over a tokenizer of ``vocab_size`` pieces.

    Args:
      layout: how its arrays lie on devices; one device by default.
    """
    side, channels = image_shape(config)[1:]
    sizes = {
        name: getattr(config.model, name)
        for name in ("width", "depth", "heads", "patch", "overlap", "mlp_ratio", "remat", "dtype", "unroll")
    }
    sizes |= {"learned_variance": config.diffusion.learned_variance, "channels": channels}
    if config.model.name == "mmdit":
        mmdit_shape = MMDiTShape(features=config.text.features, **sizes)

        def build(layout: Layout, rngs: nnx.Rngs) -> nnx.Module:
            return MMDiT(dataclasses.replace(mmdit_shape, layout=layout), rngs=rngs)
    else:
        shape = TransformerShape(
            resolution=side,
            vocab_size=vocab_size,
            max_tokens=config.text.max_tokens,
            text_depth=config.text.depth,
            **sizes,
        )

        def build(layout: Layout, rngs: nnx.Rngs) -> nnx.Module:
            return Transformer(dataclasses.replace(shape, layout=layout), rngs=rngs)

    return Denoiser(
        make=build,
        image_shape=image_shape(config),
        max_tokens=config.text.max_tokens,
        layout=layout,
        **_split(build, layout),
    )


def _split(build: Callable[[Layout, nnx.Rngs], nnx.Module], layout: Layout) -> dict[str, Any]:
    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(layout, nnx.Rngs(jax.random.key(0)))), nnx.Param)
    return {"graph": graph, "abstract": abstract}


def image_shape(config: config_lib.Config) -> tuple[int, int, int]:
    """Height, width and channels of what is noised: pictures, or their latents."""
    data = config.data
    if not data.latent_channels:
        return data.resolution, data.resolution, 3
    side = data.resolution // data.latent_reduction
    return side, side, data.latent_channels


def null_features(config: config_lib.Config, dtype: Any = jnp.bfloat16) -> Features:
    """The null caption of a network over frozen features: one token of zeros, the others padding; no batch axis."""
    tokens = config.text.max_tokens
    return Features(jnp.zeros((tokens, config.text.features), dtype), jnp.arange(tokens) < 1)
