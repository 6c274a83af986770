"""DINOv2's vision transformers (Oquab et al., arXiv 2304.07193): small, base, large and giant, with patches of 14.

Parameters have Meta's names (``dinov2_vits14_pretrain.pth``); those of the transformers library are renamed. Which of
the four it is, the shapes say.
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfjax.pretrained import operations as ops
from dfjax.weights.files import WeightsError

PATCH = 14
# The resolution at which its features are compared elsewhere (Stein et al., arXiv 2306.04675).
RESOLUTION = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LETTERS = {384: "s", 768: "b", 1024: "l", 1536: "g"}
_EPSILON = 1e-6
_HEAD = 64
# Meta gives the scale between two grids of positions with this added to the wanted side.
_OFFSET = 0.1
# From the names of transformers; those of queries, keys and values are put together.
_RENAMED = (
    (r"^dinov2\.", ""),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
    (r"^layernorm\.", "norm."),
)
_PARTS = ("query", "key", "value")


def apply(params: ops.Params, pictures: ops.Pictures) -> Float[Array, "batch width"]:
    """Features of normalised pictures: the class token after the last norm."""
    x = ops.convolve(pictures, params, "patch_embed.proj", stride=PATCH, padding=0)
    x = x.reshape(len(x), -1, x.shape[-1])
    width = x.shape[-1]
    first = jnp.broadcast_to(ops.parameter(params, "cls_token", (1, 1, width)), (len(x), 1, width))
    x = jnp.concatenate([first, x], axis=1)
    x = x + ops.parameter(params, "pos_embed", (1, x.shape[1], width))
    for number in range(_depth(params)):
        name = f"blocks.{number}"
        normed = ops.layer_norm(x, params, f"{name}.norm1", _EPSILON)
        x = x + _attention(normed, params, name) * ops.parameter(params, f"{name}.ls1.gamma", (width,))
        normed = ops.layer_norm(x, params, f"{name}.norm2", _EPSILON)
        x = x + _mlp(normed, params, name) * ops.parameter(params, f"{name}.ls2.gamma", (width,))
    return ops.layer_norm(x[:, 0], params, "norm", _EPSILON)


def prepare(arrays: Mapping[str, np.ndarray], resolution: int, offset: float = _OFFSET) -> dict[str, np.ndarray]:
    """Parameters by Meta's names, with the embeddings of positions for pictures of ``resolution``, a multiple of 14.

    Args:
      offset: added to the side of the grid of positions for its scale: 0.1 in Meta's code, 0 in transformers'.

    Raises:
      WeightsError: there are register tokens, or the positions make no square.
    """
    params = _by_metas_names(arrays)
    if "register_tokens" in params or "embeddings.register_tokens" in params:
        raise WeightsError("it has register tokens; take the variant without")
    if "pos_embed" not in params:
        raise WeightsError("there is no 'pos_embed' in it")
    positions = params["pos_embed"]
    side, wanted = round((positions.shape[1] - 1) ** 0.5), resolution // PATCH
    if positions.ndim != 3 or positions.shape[1] != side * side + 1:
        raise WeightsError(f"'pos_embed' is {' x '.join(map(str, positions.shape))} in it, which is no square and one")
    if side != wanted:
        weights = _cubic(side, wanted, (wanted + offset) / side)
        grid = np.einsum(
            "hwc,Hh,Ww->HWc", positions[0, 1:].reshape(side, side, -1).astype(np.float64), weights, weights
        )
        grid = grid.reshape(1, wanted * wanted, -1).astype(np.float32)
        params["pos_embed"] = np.concatenate([positions[:, :1], grid], axis=1)
    return params


def variant(params: Mapping[str, np.ndarray]) -> str:
    """What of its name says the size, such as ``_vits14``, by the width of the class token."""
    width = params["cls_token"].shape[-1] if "cls_token" in params else 0
    return f"_vit{_LETTERS.get(width, f'_{width}_')}{PATCH}"


def _by_metas_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    renamed: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = array
    for query in [name for name in renamed if ".attention.attention.query." in name]:
        parts = [query.replace("query", part) for part in _PARTS]
        if all(part in renamed for part in parts):
            joined = np.concatenate([renamed.pop(part) for part in parts])
            renamed[query.replace("attention.attention.query", "attn.qkv")] = joined
    return renamed


def _cubic(size: int, wanted: int, scale: float) -> Float[np.ndarray, "wanted size"]:
    """PyTorch's bicubic interpolation along one axis: Keys's kernel with a = -0.75, the edge repeated."""
    place = (np.arange(wanted) + 0.5) / scale - 0.5
    first = np.floor(place).astype(int) - 1
    weights = np.zeros((wanted, size))
    for tap in range(4):
        away = np.abs(place - (first + tap))
        near = (1.25 * away - 2.25) * away * away + 1
        far = -0.75 * (((away - 5) * away + 8) * away - 4)
        np.add.at(weights, (np.arange(wanted), np.clip(first + tap, 0, size - 1)), np.where(away <= 1, near, far))
    return weights


def _depth(params: ops.Params) -> int:
    depth = 0
    while f"blocks.{depth}.norm1.weight" in params:
        depth += 1
    return depth


def _attention(x: Float[Array, "batch tokens width"], params: ops.Params, name: str):
    batch, tokens, width = x.shape
    heads = ops.linear(x, params, f"{name}.attn.qkv").reshape(batch, tokens, 3, -1, _HEAD)
    query, key, value = (heads[:, :, i] for i in range(3))
    likeness = jnp.einsum("bqhd,bkhd->bhqk", query * _HEAD**-0.5, key)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(likeness), value)
    return ops.linear(mixed.reshape(batch, tokens, width), params, f"{name}.attn.proj")


def _mlp(x: Float[Array, "batch tokens width"], params: ops.Params, name: str):
    """A plain one, or in the giant network a gated one."""
    if f"{name}.mlp.w12.weight" in params:
        gate, up = jnp.split(ops.linear(x, params, f"{name}.mlp.w12"), 2, axis=-1)
        return ops.linear(jax.nn.silu(gate) * up, params, f"{name}.mlp.w3")
    return ops.linear(
        jax.nn.gelu(ops.linear(x, params, f"{name}.mlp.fc1"), approximate=False), params, f"{name}.mlp.fc2"
    )
