"""What the networks are made of, with parameters by the names that PyTorch's modules give them.

Pictures are [batch, height, width, channels]; kernels stay in PyTorch's order, [outputs, inputs, height, width].
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfjax.weights.files import WeightsError

Params = Mapping[str, Array] | Mapping[str, np.ndarray]
Pictures = Float[Array, "batch height width channels"]
Padding = str | int | Sequence[tuple[int, int]]


def parameter(params: Params, name: str, shape: Sequence[int | None]) -> Array | np.ndarray:
    """A parameter. Raises WeightsError if it is missing or of another shape; None in ``shape`` fits any size."""
    if name not in params:
        raise WeightsError(f"there is no {name!r} in it")
    value = params[name]
    if len(value.shape) != len(shape) or any(
        want not in (None, size) for want, size in zip(shape, value.shape, strict=True)
    ):
        wanted = " x ".join("any" if size is None else str(size) for size in shape) or "one number"
        raise WeightsError(f"{name!r} is {' x '.join(map(str, value.shape))} in it, not {wanted}")
    return value


def convolve(x: Pictures, params: Params, name: str, *, stride: int = 1, padding: Padding = "SAME") -> Pictures:
    """A convolution with the kernel ``NAME.weight`` and, if there is one, ``NAME.bias``.

    ``SAME`` pads as TensorFlow does: for a stride of 2, more on the right and below.
    """
    kernel = parameter(params, f"{name}.weight", (None, x.shape[-1], None, None))
    if isinstance(padding, int):
        padding = [(padding, padding)] * 2
    out = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(kernel),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
    )
    if f"{name}.bias" in params:
        out = out + parameter(params, f"{name}.bias", (out.shape[-1],))
    return out


def depthwise(x: Pictures, params: Params, name: str, *, stride: int = 1) -> Pictures:
    """A convolution of each channel by itself with the kernel ``NAME.weight`` [channels, 1, side, side].

    Written as a sum of shifted pictures, which XLA makes one loop of: on CPUs three times as fast as its grouped
    convolution. Pads as ``SAME`` does.
    """
    kernel = parameter(params, f"{name}.weight", (x.shape[-1], 1, None, None))
    side = kernel.shape[-1]
    height, width = (-(-size // stride) for size in x.shape[1:3])
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (side, side), (stride, stride), "SAME")
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    out = jnp.zeros((x.shape[0], height, width, x.shape[-1]), x.dtype)
    for row in range(side):
        for column in range(side):
            last_row, last_column = row + (height - 1) * stride + 1, column + (width - 1) * stride + 1
            out = out + padded[:, row:last_row:stride, column:last_column:stride] * kernel[:, 0, row, column]
    return out


def batch_norm(x: Pictures, params: Params, name: str, epsilon: float) -> Pictures:
    """Batch normalisation with the statistics of training."""
    mean, variance, gain, bias = (
        parameter(params, f"{name}.{part}", x.shape[-1:]) for part in ("running_mean", "running_var", "weight", "bias")
    )
    scale = gain / jnp.sqrt(variance + epsilon)
    return x * scale + (bias - mean * scale)


def layer_norm(x: Float[Array, "... width"], params: Params, name: str, epsilon: float) -> Float[Array, "... width"]:
    """Layer normalisation over the last axis."""
    gain, bias = (parameter(params, f"{name}.{part}", x.shape[-1:]) for part in ("weight", "bias"))
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + epsilon) * gain + bias


def linear(x: Float[Array, "... inputs"], params: Params, name: str) -> Float[Array, "... outputs"]:
    """x times the transpose of ``NAME.weight`` [outputs, inputs], plus ``NAME.bias``."""
    weight = parameter(params, f"{name}.weight", (None, x.shape[-1]))
    return x @ jnp.asarray(weight).T + parameter(params, f"{name}.bias", weight.shape[:1])


def max_pool(x: Pictures, window: int, stride: int, padding: int = 0) -> Pictures:
    """The largest of each window; what is padded does not count."""
    return _pool(x, -jnp.inf, jax.lax.max, window, stride, padding)


def average_pool(x: Pictures, window: int, stride: int, padding: int = 0) -> Pictures:
    """The mean of each window over what is inside the picture: what is padded does not count."""
    count = _pool(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0, jax.lax.add, window, stride, padding)
    return _pool(x, 0.0, jax.lax.add, window, stride, padding) / count


def _pool(x: Pictures, start: float, combine, window: int, stride: int, padding: int) -> Pictures:
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return jax.lax.reduce_window(x, start, combine, (1, window, window, 1), (1, stride, stride, 1), pads)
