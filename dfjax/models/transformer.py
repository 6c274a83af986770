"""A diffusion transformer over text and image tokens: of captions' ids by a tower trained with it, or of features.

One stream with one set of weights runs over both kinds of token, joined in attention (as the single-stream blocks of
Flux and Lumina-Image 2.0, arXiv 2503.21758). Noise level and pooled text set scale, shift and gate of each layer
(adaLN-Zero, DiT, arXiv 2212.09748).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dfjax.models import inputs as inputs_lib
from dfjax.models import patches
from dfjax.models.inputs import Features, NetworkInputs, Work
from dfjax.models.layers import (
    Attention,
    GatedMlp,
    LogVariance,
    Tokens,
    axial_angles,
    fourier,
    line_angles,
    linear,
    modulation,
    read,
    rms,
)
from dfjax.models.layout import ONE_DEVICE, Layout
from dfjax.models.parameters import metadata
from dfjax.models.stack import StackShape, run_stack, stack

Images = Float[Array, "batch height width channels"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerShape(StackShape):
    """Sizes of a :class:`Transformer`; ``vocab_size`` and ``text_depth`` are those of the text tower."""

    vocab_size: int
    text_depth: int


class TextBlock(nnx.Module):
    """A pre-norm transformer layer."""

    def __init__(self, shape: TransformerShape, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(shape.dtype)
        self.attention = Attention(shape.width, shape.heads, tokens="text", dtype=dtype, rngs=rngs)
        self.mlp = GatedMlp(shape.width, shape.hidden, tokens="text", dtype=dtype, rngs=rngs)

    def __call__(self, x: Tokens, angles: Float[Array, "tokens half"], mask: Bool[Array, "batch tokens"]) -> Tokens:
        # Plain attention: captions are short, and kernels want long rows.
        x = x + self.attention(rms(x), angles, mask, ONE_DEVICE)
        return x + self.mlp(rms(x))


class DenoiserBlock(nnx.Module):
    """A transformer layer whose norms are set by the condition (adaLN-Zero: it starts as the identity)."""

    def __init__(self, shape: TransformerShape, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(shape.dtype)
        self.modulation = modulation(shape.width, dtype=dtype, rngs=rngs)
        self.attention = Attention(shape.width, shape.heads, tokens="all", dtype=dtype, rngs=rngs)
        self.mlp = GatedMlp(shape.width, shape.hidden, tokens="all", dtype=dtype, rngs=rngs)
        self.layout = shape.layout

    def __call__(
        self,
        x: Tokens,
        condition: Float[Array, "batch width"],
        angles: Float[Array, "tokens half"],
        mask: Bool[Array, "batch tokens"],
    ) -> Tokens:
        scale1, shift1, gate1, scale2, shift2, gate2 = jnp.split(self.modulation(condition)[:, None], 6, axis=-1)
        x = x + gate1 * self.attention(rms(x) * (1 + scale1) + shift1, angles, mask, self.layout)
        return self.layout.tokens(x + gate2 * self.mlp(rms(x) * (1 + scale2) + shift2))


def _block(kind: type[TextBlock] | type[DenoiserBlock], shape: TransformerShape, rngs: nnx.Rngs) -> nnx.Module:
    return kind(shape, rngs=rngs)


def _run(blocks: nnx.Module, shape: TransformerShape, x: Tokens, *inputs) -> Tokens:
    return run_stack(blocks, x, *inputs, remat=shape.remat, unroll=shape.unroll, layout=shape.layout)


class TextTower(nnx.Module):
    """Token ids to token features and one pooled vector."""

    def __init__(self, shape: TransformerShape, *, rngs: nnx.Rngs):
        self.shape = shape
        self.embedding = nnx.Embed(
            shape.vocab_size,
            shape.width,
            embedding_init=nnx.initializers.normal(1.0),
            param_dtype=jnp.float32,
            embedding_metadata=metadata(None, "embed", decays=True),
            rngs=rngs,
        )
        block = functools.partial(_block, TextBlock, shape)
        self.blocks = stack(block, shape.text_depth, rngs) if shape.text_depth else None

    def __call__(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> tuple[Tokens, Float[Array, "batch width"]]:
        x = self.embedding(ids).astype(self.shape.dtype)
        if self.blocks is not None:
            angles = line_angles(ids.shape[1], self.shape.width // self.shape.heads)
            x = _run(self.blocks, self.shape, x, angles, mask)
        weight = mask[..., None].astype(x.dtype)
        return x, jnp.sum(x * weight, axis=1) / jnp.sqrt(jnp.maximum(jnp.sum(weight, axis=1), 1.0))


class Transformer(nnx.Module):
    """(noisy pictures or latents, noise level, caption) -> prediction. Padding is id 0."""

    def __init__(self, shape: TransformerShape, *, rngs: nnx.Rngs):
        self.shape = shape
        make = functools.partial(linear, rngs=rngs, dtype=jnp.dtype(shape.dtype), bias=True)
        values = shape.patch**2 * shape.channels * (4 if shape.overlap else 1)
        if shape.features:
            self.text_in = make(shape.features, shape.width, axes=(None, "embed"), tokens="text", of_data=True)
        else:
            self.text = TextTower(shape, rngs=rngs)
        self.patch_in = make(values, shape.width, axes=(None, "embed"), tokens="image", of_data=True)
        self.time_in = make(256, shape.width, axes=(None, "embed"), tokens="one", of_data=True)
        self.time_out = make(shape.width, shape.width, axes=("embed", None), tokens="one")
        self.pooled = make(shape.width, shape.width, axes=("embed", None), tokens="one")
        self.blocks = stack(functools.partial(_block, DenoiserBlock, shape), shape.depth, rngs)
        self.final = make(shape.width, 2 * shape.width, axes=("embed", None), tokens="one", zero=True)
        self.patch_out = make(shape.width, values, axes=("embed", None), tokens="image", zero=True)
        self.log_variance = LogVariance(rngs=rngs) if shape.learned_variance else None

    def __call__(self, z: Images, t: Float[Array, "batch"], caption: Int[Array, "batch tokens"] | Features) -> Images:
        """The prediction, float32 and of z's shape; t in [0, 1].

        Args:
          caption: token ids, int32, or features, as the network was built for.
        """
        shape, dtype, layout = self.shape, jnp.dtype(self.shape.dtype), self.shape.layout
        if isinstance(caption, Features):
            text_mask = caption.mask
            text, pooled = read(self.text_in, caption, dtype)
        else:
            text_mask = caption != 0
            text, pooled = self.text(caption, text_mask)
        time = self.time_out(jax.nn.silu(self.time_in(fourier(t, 256).astype(dtype))))
        condition = jax.nn.silu(time + self.pooled(rms(pooled).astype(dtype)))

        cut = patches.split_overlapping if shape.overlap else patches.split
        image = self.patch_in(cut(z.astype(dtype), shape.patch))
        rows, columns = image.shape[1:3]
        x = jnp.concatenate([text, image.reshape(*image.shape[:1], rows * columns, shape.width)], axis=1)
        mask = layout.part(jnp.pad(text_mask, ((0, 0), (0, rows * columns)), constant_values=True))
        angles = axial_angles(rows, columns, shape.width // shape.heads, prefix=text.shape[1])
        angles, x = layout.part(angles, axis=0), layout.tokens(layout.part(x))
        x = layout.whole(_run(self.blocks, shape, x, condition, angles, mask))[:, text.shape[1] :]

        scale, shift = jnp.split(self.final(condition)[:, None], 2, axis=-1)
        out = self.patch_out(rms(x) * (1 + scale) + shift).reshape(*image.shape[:3], -1)
        # Float32 before windows are added up.
        out = out.astype(jnp.float32)
        join = patches.join_overlapping if shape.overlap else patches.join
        return join(out, shape.patch)


def build(model: Any, inputs: NetworkInputs, layout: Layout, rngs: nnx.Rngs) -> Transformer:
    """The network for such inputs: token ids, or a frozen encoder's features.

    Args:
      model: sizes, as the config's ``model`` section has them, and besides ``text_depth``: layers of the text tower,
        which is only there for token ids; ``learned_variance``: it also learns the log-variance of the loss.
    """
    more = {"vocab_size": inputs.vocab_size, "text_depth": model.text_depth}
    more |= {"learned_variance": model.learned_variance}
    return Transformer(TransformerShape.of(model, inputs, layout=layout, **more), rngs=rngs)


def work(model: Any, inputs: NetworkInputs) -> Work:
    """What it does with one example."""
    return inputs_lib.work(model, inputs, text_depth=0 if inputs.features else model.text_depth)
