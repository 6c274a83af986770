"""CLIP, with weights that the user has (Radford et al., arXiv 2103.00020).

The files are those of ``openai/clip-vit-base-patch32``, ``openai/clip-vit-large-patch14`` and others that transformers
saved, in one folder; sizes are read off the arrays, which keep their names.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from dfjax.pretrained import operations as ops
from dfjax.pretrained import text_encoder as encoder
from dfjax.pretrained.extractor import Extractor, Preprocessing
from dfjax.pretrained.text_encoder import Encoder, Ids, Lengths
from dfjax.weights import files as weights_lib
from dfjax.weights.files import WeightsError

NAME = "clip"
WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_WANTED = (
    f"wanted is a folder with {WEIGHTS}, {TOKENIZER} and {CONFIG} of openai/clip-vit-base-patch32, or of another CLIP "
    "that transformers saved"
)
_WORDS = "text_model.embeddings.token_embedding.weight"
# transformers leaves out of a config what is as in ViT-B/32.
_HEADS = {"vision_config": 12, "text_config": 8}
_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


@dataclasses.dataclass(frozen=True)
class Tower:
    """What the arrays of a tower do not say. Others than OpenAI changed the activation, and no shape tells."""

    heads: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5


class Clip:
    """Features of pictures and of captions in one space.

    Attributes:
      fingerprint: SHA-256 of all that features depend on.
    """

    def __init__(self, images: Extractor, texts: Encoder, towers: Sequence[Tower] = ()):
        """``towers``: for the fingerprint, what the two networks were made with besides their parameters."""
        if images.size != texts.size:
            raise WeightsError(f"pictures have {images.size} features, and captions {texts.size}")
        self._images, self._texts = images, texts
        said = repr((images.fingerprint, texts.fingerprint, towers))
        self.fingerprint = hashlib.sha256(said.encode()).hexdigest()

    @classmethod
    def load(cls, path: str | Path, mesh: Mesh, batch_size: int = 64) -> "Clip":
        """CLIP from a folder with ``model.safetensors``, ``tokenizer.json`` and ``config.json``.

        Args:
          path: the folder, or the file of weights in it, whatever its name. mesh: the devices to compute pictures on.

        Raises:
          WeightsError: a file is missing, damaged, or another model's; says which, and what to put there.
        """
        path = Path(path).expanduser()
        folder, file = (path.parent, path) if path.is_file() else (path, path / WEIGHTS)
        missing = [str(each) for each in (file, folder / TOKENIZER, folder / CONFIG) if not each.is_file()]
        if missing:
            raise WeightsError(f"there is no {' and no '.join(missing)}: {_WANTED}")
        params: dict[str, Any] = weights_lib.read(file)
        try:
            seen, said = _tower(folder / CONFIG, "vision_config"), _tower(folder / CONFIG, "text_config")
            scaling = Preprocessing(_resolution(params), MEAN, STD, square)
            images = Extractor(
                NAME, functools.partial(apply_images, tower=seen), _floats(params), scaling, mesh, batch_size
            )
            places = ops.parameter(params, "text_model.embeddings.position_embedding.weight", (None, None))
            of_text = {name: value for name, value in _floats(params).items() if name.startswith("text_")}
            texts = Encoder(
                NAME, functools.partial(apply_texts, tower=said), of_text, folder / TOKENIZER, len(places), _WORDS
            )
            return cls(images, texts, (seen, said))
        except WeightsError as error:
            raise WeightsError(f"{file} and what is beside it are no CLIP: {error}; {_WANTED}") from error

    def image_features(self, pictures: UInt8[np.ndarray, "n height width 3"]) -> Float[np.ndarray, "n size"]:
        """Projected features of pictures, as long as they come (transformers' ``get_image_features``)."""
        return self._images(pictures)

    def text_features(self, captions: Sequence[str]) -> Float[np.ndarray, "n size"]:
        """Projected features of captions, as long as they come; what is beyond 77 tokens is cut, with a warning."""
        return self._texts(captions)


def apply_images(params: ops.Params, pictures: ops.Pictures, tower: Tower) -> Float[Array, "batch size"]:
    """Projected features of normalised pictures: the class token's last state."""
    name = "vision_model.embeddings"
    kernel = ops.parameter(params, f"{name}.patch_embedding.weight", (None, 3, None, None))
    x = ops.convolve(pictures, params, f"{name}.patch_embedding", stride=kernel.shape[-1], padding=0)
    x = x.reshape(len(x), -1, x.shape[-1])
    batch, patches, width = x.shape
    first = jnp.broadcast_to(ops.parameter(params, f"{name}.class_embedding", (width,)), (batch, 1, width))
    places = ops.parameter(params, f"{name}.position_embedding.weight", (patches + 1, width))
    x = jnp.concatenate([first, x], axis=1) + places
    x = ops.layer_norm(x, params, "vision_model.pre_layrnorm", tower.epsilon)  # Its name in all files.
    x = _layers(x, params, "vision_model", tower)
    return _projected(ops.layer_norm(x[:, 0], params, "vision_model.post_layernorm", tower.epsilon), params, "visual")


def apply_texts(params: ops.Params, ids: Ids, lengths: Lengths, tower: Tower) -> Float[Array, "batch size"]:
    """Projected features of captions: the last state of the first token that ends them.

    No token sees what is after it, and so none sees the padding.
    """
    words = ops.parameter(params, _WORDS, (None, None))
    tokens, width = ids.shape[1], words.shape[1]
    places = ops.parameter(params, "text_model.embeddings.position_embedding.weight", (None, width))
    x = jnp.asarray(words)[ids] + places[:tokens]
    x = _layers(x, params, "text_model", tower, jnp.tri(tokens, dtype=bool))
    x = ops.layer_norm(x, params, "text_model.final_layer_norm", tower.epsilon)
    end = jnp.take_along_axis(ids, lengths[:, None] - 1, axis=1)
    return _projected(x[jnp.arange(len(x)), jnp.argmax(ids == end, axis=1)], params, "text")


def square(pictures: ops.Pictures, resolution: int) -> ops.Pictures:
    """The middle of pictures whose shorter side is resized, as CLIP was trained; nothing is rounded in between."""
    height, width = pictures.shape[1:3]
    shorter = min(height, width)
    sizes = [int(resolution * side / shorter) for side in (height, width)]
    top, left = ((size - resolution) // 2 for size in sizes)
    shape = (len(pictures), *sizes, pictures.shape[-1])
    resized = jnp.clip(jax.image.resize(pictures, shape, "cubic", antialias=True), 0, 255)
    return resized[:, top : top + resolution, left : left + resolution]


def _layers(x: Float[Array, "batch tokens width"], params: ops.Params, name: str, tower: Tower, mask=None):
    activation = _ACTIVATIONS[tower.activation]
    for number in range(encoder.depth(params, name + ".encoder.layers.{}.layer_norm1.weight")):
        layer = f"{name}.encoder.layers.{number}"
        normed = ops.layer_norm(x, params, f"{layer}.layer_norm1", tower.epsilon)
        query, key, value = (ops.linear(normed, params, f"{layer}.self_attn.{part}_proj") for part in "qkv")
        mixed = encoder.attend(query, key, value, tower.heads, mask)
        x = x + ops.linear(mixed, params, f"{layer}.self_attn.out_proj")
        normed = ops.layer_norm(x, params, f"{layer}.layer_norm2", tower.epsilon)
        x = x + ops.linear(activation(ops.linear(normed, params, f"{layer}.mlp.fc1")), params, f"{layer}.mlp.fc2")
    return x


def _projected(x: Float[Array, "batch width"], params: ops.Params, name: str) -> Float[Array, "batch size"]:
    return x @ jnp.asarray(ops.parameter(params, f"{name}_projection.weight", (None, x.shape[-1]))).T


def _resolution(params: ops.Params) -> int:
    """Side of the pictures that the embeddings of places are for: of the class token, and of a square of patches."""
    places = ops.parameter(params, "vision_model.embeddings.position_embedding.weight", (None, None))
    kernel = ops.parameter(params, "vision_model.embeddings.patch_embedding.weight", (None, 3, None, None))
    return round((len(places) - 1) ** 0.5) * kernel.shape[-1]


def _tower(path: Path, part: str) -> Tower:
    """Raises WeightsError if the config cannot be read, or asks for what is not here."""
    try:
        said = json.loads(path.read_text("utf-8"))[part]
        heads = int(said.get("num_attention_heads", _HEADS[part]))
        activation = said.get("hidden_act", Tower.activation)
        tower = Tower(heads, activation, float(said.get("layer_norm_eps", Tower.epsilon)))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise WeightsError(f"{path.name} has no readable {part!r} ({error})") from error
    if not isinstance(tower.activation, str) or tower.activation not in _ACTIVATIONS:
        raise WeightsError(f"{path.name} names the activation {tower.activation!r}, not {' or '.join(_ACTIVATIONS)}")
    if not 0 < tower.epsilon < 1:
        raise WeightsError(f"{path.name} has layer_norm_eps {tower.epsilon} in {part!r}, not a small number above 0")
    return tower


def _floats(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Without the numbers of places, which some files have beside the weights."""
    return {name: value for name, value in params.items() if value.dtype.kind == "f"}
