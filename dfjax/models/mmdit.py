"""MMDiT: two streams, text and image, with weights of their own, joined in attention (SD3, arXiv 2403.03206, figure 2).

The text is a frozen encoder's features. Noise level and pooled features set scale, shift and gate of each layer in
both streams. Every layer keeps both streams (SD3 drops the text's last half layer), so that all layers are alike and
can be scanned.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dfjax.core.errors import ConfigError
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
    linear,
    modulation,
    read,
    rms,
)
from dfjax.models.layout import Layout
from dfjax.models.stack import StackShape, run_stack, stack

Images = Float[Array, "batch height width channels"]
Condition = Float[Array, "batch width"]


class Stream(nnx.Module):
    """One stream's half of a layer: its modulation, its share of attention, its MLP (adaLN-Zero)."""

    def __init__(self, shape: StackShape, tokens: str, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(shape.dtype)
        self.modulation = modulation(shape.width, dtype=dtype, rngs=rngs)
        self.attention = Attention(shape.width, shape.heads, tokens=tokens, dtype=dtype, rngs=rngs)
        self.mlp = GatedMlp(shape.width, shape.hidden, tokens=tokens, dtype=dtype, rngs=rngs)
        self.layout = shape.layout

    def modulations(self, condition: Condition) -> list[Float[Array, "batch 1 width"]]:
        return jnp.split(self.modulation(condition)[:, None], 6, axis=-1)

    def finish(self, x: Tokens, attended: Array, modulations: list[Array]) -> Tokens:
        """The residual stream after attention's output and the MLP are added."""
        _, _, gate1, scale2, shift2, gate2 = modulations
        x = x + gate1 * self.attention.merged(attended)
        return self.layout.tokens(x + gate2 * self.mlp(rms(x) * (1 + scale2) + shift2))


class MMDiTBlock(nnx.Module):
    """A layer over both streams."""

    def __init__(self, shape: StackShape, *, rngs: nnx.Rngs):
        self.text = Stream(shape, "text", rngs=rngs)
        self.image = Stream(shape, "image", rngs=rngs)
        self.layout = shape.layout

    def __call__(
        self,
        x: tuple[Tokens, Tokens],
        condition: Condition,
        angles: Float[Array, "tokens half"],
        masks: tuple[Bool[Array, "batch tokens"], Bool[Array, "batch tokens"]],
    ) -> tuple[Tokens, Tokens]:
        """(text, image) to the same; ``angles`` turn the image's queries and keys, text carries its own order."""
        halves = (self.text, self.image)
        modulations = [half.modulations(condition) for half in halves]
        heads = [
            half.attention.heads_of(rms(tokens) * (1 + scale) + shift, turn)
            for half, tokens, (scale, shift, *_), turn in zip(halves, x, modulations, (None, angles), strict=True)
        ]
        queries, keys, values = zip(*heads, strict=True)
        attended = self.layout.attend(queries, keys, values, masks)
        text, image = (
            half.finish(tokens, out, modulation)
            for half, tokens, out, modulation in zip(halves, x, attended, modulations, strict=True)
        )
        return text, image


class MMDiT(nnx.Module):
    """(noisy latents or pictures, noise level, text features) -> prediction."""

    def __init__(self, shape: StackShape, *, rngs: nnx.Rngs):
        self.shape = shape
        make = functools.partial(linear, rngs=rngs, dtype=jnp.dtype(shape.dtype), bias=True)
        values = shape.patch**2 * shape.channels * (4 if shape.overlap else 1)
        self.text_in = make(shape.features, shape.width, axes=(None, "embed"), tokens="text", of_data=True)
        self.patch_in = make(values, shape.width, axes=(None, "embed"), tokens="image", of_data=True)
        self.time_in = make(256, shape.width, axes=(None, "embed"), tokens="one", of_data=True)
        self.time_out = make(shape.width, shape.width, axes=("embed", None), tokens="one")
        self.pooled = make(shape.width, shape.width, axes=("embed", None), tokens="one")
        self.blocks = stack(lambda rngs: MMDiTBlock(shape, rngs=rngs), shape.depth, rngs)
        self.final = make(shape.width, 2 * shape.width, axes=("embed", None), tokens="one", zero=True)
        self.patch_out = make(shape.width, values, axes=("embed", None), tokens="image", zero=True)
        self.log_variance = LogVariance(rngs=rngs) if shape.learned_variance else None

    def __call__(self, z: Images, t: Float[Array, "batch"], caption: Features) -> Images:
        """The prediction, float32 and of z's shape; t in [0, 1]."""
        shape, dtype, layout = self.shape, jnp.dtype(self.shape.dtype), self.shape.layout
        text, mean = read(self.text_in, caption, dtype)
        time = self.time_out(jax.nn.silu(self.time_in(fourier(t, 256).astype(dtype))))
        condition = jax.nn.silu(time + self.pooled(rms(mean).astype(dtype)))

        cut = patches.split_overlapping if shape.overlap else patches.split
        grid = self.patch_in(cut(z.astype(dtype), shape.patch))
        rows, columns = grid.shape[1:3]
        image = grid.reshape(grid.shape[0], rows * columns, shape.width)
        angles = layout.part(axial_angles(rows, columns, shape.width // shape.heads), axis=0)
        masks = tuple(layout.part(mask) for mask in (caption.mask, jnp.ones(image.shape[:2], bool)))
        x = tuple(layout.tokens(layout.part(tokens)) for tokens in (text, image))
        _, x_image = run_stack(
            self.blocks, x, condition, angles, masks, remat=shape.remat, unroll=shape.unroll, layout=layout
        )

        scale, shift = jnp.split(self.final(condition)[:, None], 2, axis=-1)
        out = layout.whole(self.patch_out(rms(x_image) * (1 + scale) + shift)).reshape(*grid.shape[:3], -1)
        # Float32 before windows are added up.
        join = patches.join_overlapping if shape.overlap else patches.join
        return join(out.astype(jnp.float32), shape.patch)


def build(model: Any, inputs: NetworkInputs, layout: Layout, rngs: nnx.Rngs) -> MMDiT:
    """The network for such inputs; arguments as of :func:`dfjax.models.transformer.build`.

    Raises:
      ConfigError: captions are token ids.
    """
    if not inputs.features:
        raise ConfigError("config key 'model.name': 'mmdit' takes a frozen encoder's features, not token ids")
    return MMDiT(StackShape.of(model, inputs, learned_variance=model.learned_variance, layout=layout), rngs=rngs)


def work(model: Any, inputs: NetworkInputs) -> Work:
    """What it does with one example. Each stream is split over devices by itself."""
    return inputs_lib.work(model, inputs, apart=True)
