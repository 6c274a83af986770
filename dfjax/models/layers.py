"""The pieces of the transformers: linear layers, attention with rotary positions, gated MLP, embeddings."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from dfjax.models.inputs import Features
from dfjax.models.layout import Heads, Layout
from dfjax.models.parameters import metadata

Tokens = Float[Array, "batch tokens width"]


def linear(
    inputs: int,
    outputs: int,
    *,
    axes: tuple[str | None, str | None],
    tokens: str,
    rngs: nnx.Rngs,
    dtype: jnp.dtype,
    bias: bool = False,
    bias_axis: str | None = None,
    zero: bool = False,
    of_data: bool = False,
    muon: bool = False,
) -> nnx.Linear:
    """A linear layer with float32 parameters that computes in ``dtype``; ``zero`` starts it at 0.

    Args:
      axes, tokens, of_data, muon: of the kernel, see ``parameters.Description``. It decays, the bias does not.
    """
    return nnx.Linear(
        inputs,
        outputs,
        use_bias=bias,
        kernel_init=nnx.initializers.zeros if zero else nnx.initializers.lecun_normal(),
        dtype=dtype,
        param_dtype=jnp.float32,
        kernel_metadata=metadata(*axes, tokens=tokens, of_data=of_data, decays=True, muon=muon),
        bias_metadata=metadata(bias_axis),
        rngs=rngs,
    )


def modulation(width: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Linear:
    """From a condition to scale, shift and gate of a layer's two halves, 0 at first (adaLN-Zero, arXiv 2212.09748)."""
    # Of all that is no matrix, its bias alone is large: whole, it would be a twentieth of the state of 2B over 256
    # devices.
    make = functools.partial(linear, axes=("embed", None), tokens="one", muon=True, bias=True, bias_axis="embed")
    return make(width, 6 * width, rngs=rngs, dtype=dtype, zero=True)


def rms(x: Float[Array, "... width"]) -> Float[Array, "... width"]:
    """x over its root mean square, accumulated in float32 (arXiv 1910.07467), without a gain."""
    square = jnp.mean(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    return (x * jax.lax.rsqrt(square + 1e-6)).astype(x.dtype)


def fourier(
    value: Float[Array, "batch"], width: int, low: float = 0.25, high: float = 1000.0
) -> Float[Array, "batch width"]:
    """Cosines and sines of a number in [0, 1] at ``width / 2`` frequencies, spaced evenly in the logarithm; float32."""
    frequencies = jnp.exp(jnp.linspace(math.log(low), math.log(high), width // 2, dtype=jnp.float32))
    angles = value.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def axial_angles(
    rows: int, columns: int, head_width: int, prefix: int = 0, base: float = 100.0
) -> Float[Array, "tokens half"]:
    """Rotary angles of ``prefix`` position-less tokens followed by a grid, row by row.

    Half of the head's pairs turn with the row and half with the column (2-D rotary positions, arXiv 2403.13298,
    axial form). The prefix (text) is not turned: it carries its own order. Shape [prefix + rows * columns,
    head_width / 2], float32, radians.
    """
    quarter = head_width // 4
    frequencies = base ** (-jnp.arange(quarter, dtype=jnp.float32) / quarter)
    row = jnp.repeat(jnp.arange(rows, dtype=jnp.float32), columns)
    column = jnp.tile(jnp.arange(columns, dtype=jnp.float32), rows)
    angles = jnp.concatenate([row[:, None] * frequencies, column[:, None] * frequencies], axis=-1)
    return jnp.concatenate([jnp.zeros((prefix, 2 * quarter), jnp.float32), angles])


def line_angles(tokens: int, head_width: int, base: float = 10_000.0) -> Float[Array, "tokens half"]:
    """Rotary angles of a sequence (arXiv 2104.09864, equation 15); float32, radians."""
    half = head_width // 2
    frequencies = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    return jnp.arange(tokens, dtype=jnp.float32)[:, None] * frequencies


def rotate(
    x: Float[Array, "batch tokens heads head"], angles: Float[Array, "tokens half"]
) -> Float[Array, "batch tokens heads head"]:
    """Turn the pairs (x_i, x_{i + half}) by the token's angles, in x's type."""
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angles)[:, None].astype(x.dtype), jnp.sin(angles)[:, None].astype(x.dtype)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


class Attention(nnx.Module):
    """Self-attention with rotary positions, normalised queries and keys (arXiv 2302.05442), a learned gain per head.

    ``tokens``, here and in :class:`GatedMlp`: which of an example's tokens it is for (``parameters.TOKENS``).
    """

    def __init__(self, width: int, heads: int, *, tokens: str, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.heads = heads
        # Megatron: the first matrix splits its outputs, the second its inputs (arXiv 1909.08053, section 3).
        make = functools.partial(linear, width, width, tokens=tokens, rngs=rngs, dtype=dtype, muon=True)
        self.query = make(axes=("embed", "heads"))
        self.key = make(axes=("embed", "heads"))
        self.value = make(axes=("embed", "heads"))
        self.out = make(axes=("heads", "embed"))
        self.gain = nnx.Param(jnp.ones((heads, 1), jnp.float32), **metadata(None, None))

    def heads_of(self, x: Tokens, angles: Float[Array, "tokens half"] | None) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values of tokens at rotary ``angles`` (None: not turned)."""
        query, key, value = (
            layer(x).reshape(*x.shape[:2], self.heads, -1) for layer in (self.query, self.key, self.value)
        )
        # Unit root mean square times sqrt(head width) in the product: the gain sets the softmax's temperature.
        query, key = rms(query) * self.gain[...].astype(query.dtype), rms(key)
        return (query, key, value) if angles is None else (rotate(query, angles), rotate(key, angles), value)

    def merged(self, heads: Heads) -> Tokens:
        """What attention gave, back in the residual stream's channels."""
        return self.out(heads.reshape(*heads.shape[:2], -1))

    def __call__(
        self, x: Tokens, angles: Float[Array, "tokens half"], mask: Bool[Array, "batch tokens"], layout: Layout
    ) -> Tokens:
        query, key, value = self.heads_of(x, angles)
        (out,) = layout.attend((query,), (key,), (value,), (mask,))
        return self.merged(out)


class GatedMlp(nnx.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (arXiv 2002.05202, equation 6)."""

    def __init__(self, width: int, hidden: int, *, tokens: str, dtype: jnp.dtype, rngs: nnx.Rngs):
        make = functools.partial(linear, tokens=tokens, rngs=rngs, dtype=dtype, muon=True)
        self.gate = make(width, hidden, axes=("embed", "hidden"))
        self.up = make(width, hidden, axes=("embed", "hidden"))
        self.down = make(hidden, width, axes=("hidden", "embed"))

    def __call__(self, x: Tokens) -> Tokens:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


def read(text_in: nnx.Linear, caption: Features, dtype: jnp.dtype) -> tuple[Tokens, Float[Array, "batch width"]]:
    """A frozen encoder's features as tokens of the network, and their mean over those that are no padding, float32."""
    text = text_in(rms(caption.features.astype(dtype)))
    weight = caption.mask[..., None].astype(jnp.float32)
    return text, jnp.sum(text * weight, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1.0)


class LogVariance(nnx.Module):
    """u(t), the log of a noise level's mean loss: one linear layer on the level, used in training only (EDM2).

    arXiv 2312.02696, appendix B.3. It starts at 0.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        make = functools.partial(linear, axes=(None, None), tokens="one", of_data=True)
        self.out = make(128, 1, rngs=rngs, dtype=jnp.float32, zero=True)

    def __call__(self, t: Float[Array, "batch"]) -> Float[Array, "batch"]:
        return self.out(fourier(t, 128))[:, 0]
