"""The Inception-v3 of the published FID (Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500).

It is the TensorFlow graph of 2015-12-05, which differs from what is called Inception-v3 elsewhere: average pools leave
out what is padded, the last block has a max pool, and pictures are resized in TensorFlow's first way. Parameters have
the names of ``pt_inception-2015-12-05-6726825d.pth`` (pytorch-fid, torch-fidelity), which has the graph's weights.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfjax.pretrained import operations as ops
from dfjax.weights.files import WeightsError

SIZE = 2048
RESOLUTION = 299
MEAN, STD = (128 / 255,) * 3, (128 / 255,) * 3
_EPSILON = 1e-3
_CLASSES = 1008


def apply(params: ops.Params, pictures: ops.Pictures) -> Float[Array, "batch 2048"]:
    """Features of normalised pictures of 299 pixels: the last activations, averaged over the picture (``pool_3``)."""
    x = _layer(pictures, params, "Conv2d_1a_3x3", stride=2, padding=0)
    x = _layer(x, params, "Conv2d_2a_3x3", padding=0)
    x = ops.max_pool(_layer(x, params, "Conv2d_2b_3x3"), 3, 2)
    x = _layer(x, params, "Conv2d_3b_1x1")
    x = ops.max_pool(_layer(x, params, "Conv2d_4a_3x3", padding=0), 3, 2)
    for letter in "bcd":
        x = _block_a(x, params, f"Mixed_5{letter}.")
    x = _block_b(x, params, "Mixed_6a.")
    for letter in "bcde":
        x = _block_c(x, params, f"Mixed_6{letter}.")
    x = _block_d(x, params, "Mixed_7a.")
    x = _block_e(x, params, "Mixed_7b.", ops.average_pool(x, 3, 1, 1))
    x = _block_e(x, params, "Mixed_7c.", ops.max_pool(x, 3, 1, 1))
    return jnp.mean(x, axis=(1, 2))


def prepare(arrays: Mapping[str, np.ndarray], resolution: int) -> Mapping[str, np.ndarray]:
    """The parameters as they are. Raises WeightsError for torchvision's, which have the same names but 1000 classes."""
    classes = ops.parameter(arrays, "fc.weight", (None, SIZE)).shape[0]
    if classes != _CLASSES:
        raise WeightsError(
            f"it tells {classes} classes apart, and the network of the published FID {_CLASSES}; torchvision's has the "
            "same names and was trained otherwise"
        )
    return arrays


def resize(
    pictures: Float[Array, "batch height width channels"], resolution: int
) -> Float[Array, "batch resolution resolution channels"]:
    """TensorFlow 1's bilinear resize: upper left corners lie on each other; nothing is averaged where it shrinks."""
    rows, columns = (jnp.asarray(_weights(size, resolution)) for size in pictures.shape[1:3])
    return jnp.einsum("bhwc,Hh,Ww->bHWc", pictures, rows, columns)


def _weights(size: int, wanted: int) -> Float[np.ndarray, "wanted size"]:
    place = np.arange(wanted, dtype=np.float32) * np.float32(size / wanted)
    low = place.astype(int)
    high = np.minimum(low + 1, size - 1)
    weights = np.zeros((wanted, size), np.float32)
    np.add.at(weights, (np.arange(wanted), low), 1 - (place - low))
    np.add.at(weights, (np.arange(wanted), high), place - low)
    return weights


def _layer(
    x: ops.Pictures, params: ops.Params, name: str, *, stride: int = 1, padding: ops.Padding = "SAME"
) -> ops.Pictures:
    x = ops.convolve(x, params, f"{name}.conv", stride=stride, padding=padding)
    return jnp.maximum(ops.batch_norm(x, params, f"{name}.bn", _EPSILON), 0)


def _chain(x: ops.Pictures, params: ops.Params, name: str, parts: str) -> ops.Pictures:
    """Layers one after the other: those called ``name`` and each of ``parts``."""
    for part in parts:
        x = _layer(x, params, f"{name}_{part}")
    return x


def _block_a(x: ops.Pictures, params: ops.Params, name: str) -> ops.Pictures:
    """35 x 35: kernels of 1, 5 and twice 3."""
    branches = [
        _layer(x, params, f"{name}branch1x1"),
        _chain(x, params, f"{name}branch5x5", "12"),
        _chain(x, params, f"{name}branch3x3dbl", "123"),
        _layer(ops.average_pool(x, 3, 1, 1), params, f"{name}branch_pool"),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_b(x: ops.Pictures, params: ops.Params, name: str) -> ops.Pictures:
    """From 35 x 35 to 17 x 17."""
    double = _chain(x, params, f"{name}branch3x3dbl", "12")
    branches = [
        _layer(x, params, f"{name}branch3x3", stride=2, padding=0),
        _layer(double, params, f"{name}branch3x3dbl_3", stride=2, padding=0),
        ops.max_pool(x, 3, 2),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_c(x: ops.Pictures, params: ops.Params, name: str) -> ops.Pictures:
    """17 x 17: kernels of 7 taken apart into rows and columns."""
    branches = [
        _layer(x, params, f"{name}branch1x1"),
        _chain(x, params, f"{name}branch7x7", "123"),
        _chain(x, params, f"{name}branch7x7dbl", "12345"),
        _layer(ops.average_pool(x, 3, 1, 1), params, f"{name}branch_pool"),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_d(x: ops.Pictures, params: ops.Params, name: str) -> ops.Pictures:
    """From 17 x 17 to 8 x 8."""
    single, long = _chain(x, params, f"{name}branch3x3", "1"), _chain(x, params, f"{name}branch7x7x3", "123")
    branches = [
        _layer(single, params, f"{name}branch3x3_2", stride=2, padding=0),
        _layer(long, params, f"{name}branch7x7x3_4", stride=2, padding=0),
        ops.max_pool(x, 3, 2),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_e(x: ops.Pictures, params: ops.Params, name: str, pooled: ops.Pictures) -> ops.Pictures:
    """8 x 8: kernels of 3 beside each other as rows and columns."""
    single, double = _chain(x, params, f"{name}branch3x3", "1"), _chain(x, params, f"{name}branch3x3dbl", "12")
    branches = [
        _layer(x, params, f"{name}branch1x1"),
        *(_layer(single, params, f"{name}branch3x3_{part}") for part in ("2a", "2b")),
        *(_layer(double, params, f"{name}branch3x3dbl_{part}") for part in ("3a", "3b")),
        _layer(pooled, params, f"{name}branch_pool"),
    ]
    return jnp.concatenate(branches, axis=-1)
