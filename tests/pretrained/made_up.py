"""Networks with made-up weights and tokenizers with few words, in the files that published ones come in."""

import json
import pathlib

import numpy as np
import pytest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "green", "apple", "banana", "of", "and", "with"]
_BPE = ["!", "a", "b", "c", "a</w>", "b</w>", "c</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]


def need(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"captions are embedded with {package}: pip install 'dfjax[eval]'")


def save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, path)


def sentence_embedding(folder: pathlib.Path, layers: int = 1, width: int = 384) -> pathlib.Path:
    """A folder with a BERT of this width and a tokenizer of WORDS."""
    need("tokenizers", "safetensors")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    # The published file pads to a fixed length, and cuts to another than the network was made for.
    made.enable_padding(length=128)
    made.enable_truncation(128)
    made.save(str(folder / "tokenizer.json"))
    save(folder / "model.safetensors", bert(layers, width))
    return folder


def bert(layers: int, width: int) -> dict[str, np.ndarray]:
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), width),
        "embeddings.position_embeddings.weight": (512, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        **_norm("embeddings.LayerNorm", width),
    }
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.self.{part}", width, width)
        shapes |= _linear(f"{layer}.attention.output.dense", width, width)
        shapes |= _linear(f"{layer}.intermediate.dense", 2 * width, width)
        shapes |= _linear(f"{layer}.output.dense", width, 2 * width)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", width) | _norm(f"{layer}.output.LayerNorm", width)
    return {**_random(shapes), "embeddings.position_ids": np.arange(512)[None]}


def clip(folder: pathlib.Path, **config: object) -> pathlib.Path:
    """A folder with a CLIP of one layer each, for pictures of 8 x 8, and a tokenizer of few letters."""
    need("tokenizers", "safetensors")
    pairs(folder / "tokenizer.json")
    towers = {"text_config": {"num_attention_heads": 2, **config}, "vision_config": {"num_attention_heads": 2}}
    (folder / "config.json").write_text(json.dumps(towers))
    width, size = 16, 6
    shapes = {
        "text_model.embeddings.token_embedding.weight": (len(_BPE), width),
        "text_model.embeddings.position_embedding.weight": (12, width),
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, 4, 4),
        "vision_model.embeddings.position_embedding.weight": (5, width),
        "text_projection.weight": (size, width),
        "visual_projection.weight": (size, width),
        **_norm("text_model.final_layer_norm", width),
        **_norm("vision_model.pre_layrnorm", width),
        **_norm("vision_model.post_layernorm", width),
    }
    for layer in ("text_model.encoder.layers.0", "vision_model.encoder.layers.0"):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{part}", width, width)
        shapes |= _linear(f"{layer}.mlp.fc1", 2 * width, width) | _linear(f"{layer}.mlp.fc2", width, 2 * width)
        shapes |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
    save(folder / "model.safetensors", _random(shapes))
    return folder


def pairs(path: pathlib.Path) -> None:
    """A tokenizer as CLIP's: byte pairs that end words with </w>, between a start and an end."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {piece: number for number, piece in enumerate(_BPE)}
    model = models.BPE(ids, [("a", "b</w>")], unk_token=_BPE[-1], end_of_word_suffix="</w>")
    made = Tokenizer(model)
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    first, last = ((name, ids[name]) for name in ("<|startoftext|>", "<|endoftext|>"))
    made.post_processor = processors.RobertaProcessing(last, first, trim_offsets=False, add_prefix_space=False)
    made.save(str(path))


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
