"""LPIPS (Zhang et al., arXiv 1801.03924), the learned distance between two pictures, as features.

The distance is a weighted sum of squared differences of activations, each of unit length over its channels. With the
weights' roots taken into the activations, it is the squared Euclidean distance of two vectors: one for each picture.

Parameters have torchvision's names (``features.0.weight``), and those of the package ``lpips`` (``lin0.model.1.weight``
for the weights; ``net.slice1.0.weight`` and so on, if one file has both).
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfjax.pretrained import operations as ops
from dfjax.weights.files import WeightsError

# The patches that the distance was learned on had 64 pixels.
RESOLUTION = 64
# The package's shift and scale of pictures in [-1, 1], told of pictures in [0, 1]: those of ImageNet.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Layers between the activations that count, by their number in torchvision: a convolution with stride and padding, or
# "pool"; each convolution is followed by ReLU, and what is after the last of a group counts.
_Group = list[tuple[int, int, int] | str]
_ALEXNET: list[_Group] = [
    [(0, 4, 2)],
    ["pool", (3, 1, 2)],
    ["pool", (6, 1, 1)],
    [(8, 1, 1)],
    [(10, 1, 1)],
]
_VGG16: list[_Group] = [
    [(0, 1, 1), (2, 1, 1)],
    ["pool", (5, 1, 1), (7, 1, 1)],
    ["pool", (10, 1, 1), (12, 1, 1), (14, 1, 1)],
    ["pool", (17, 1, 1), (19, 1, 1), (21, 1, 1)],
    ["pool", (24, 1, 1), (26, 1, 1), (28, 1, 1)],
]


def alexnet(params: ops.Params, pictures: ops.Pictures) -> Float[Array, "batch size"]:
    """Vectors of normalised pictures whose squared Euclidean distance is LPIPS on AlexNet."""
    return _apply(params, pictures, _ALEXNET, window=3)


def vgg16(params: ops.Params, pictures: ops.Pictures) -> Float[Array, "batch size"]:
    """Vectors of normalised pictures whose squared Euclidean distance is LPIPS on VGG16."""
    return _apply(params, pictures, _VGG16, window=2)


def prepare(arrays: Mapping[str, np.ndarray], resolution: int) -> dict[str, np.ndarray]:
    """Parameters by torchvision's names, and the weights' roots. Raises WeightsError if a weight is negative."""
    renamed = {}
    for name, array in arrays.items():
        if name.startswith("net.slice"):
            name = "features." + name.split(".", 2)[2]
        if name.startswith("lin") and name.endswith(".weight"):
            if (array < 0).any():
                raise WeightsError(f"{name!r} in it has negative weights, which make no distance")
            name, array = name.replace("model.1.", ""), np.sqrt(array)
        renamed[name] = array
    return renamed


def _apply(params: ops.Params, x: ops.Pictures, groups: list[_Group], window: int) -> Float[Array, "batch size"]:
    vectors = []
    for number, group in enumerate(groups):
        for layer in group:
            if isinstance(layer, str):
                x = ops.max_pool(x, window, 2)
            else:
                index, stride, padding = layer
                x = jnp.maximum(ops.convolve(x, params, f"features.{index}", stride=stride, padding=padding), 0)
        root = ops.parameter(params, f"lin{number}.weight", (1, x.shape[-1], 1, 1)).reshape(-1)
        length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
        weighed = x / (length + 1e-10) * root / np.sqrt(x.shape[1] * x.shape[2])
        vectors.append(weighed.reshape(len(x), -1))
    return jnp.concatenate(vectors, axis=-1)
