"""CLIP from a user's files: its features, what they depend on, and what is said of files that do not fit."""

import functools
import json

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import clip
from tests.pretrained import made_up

CAPTIONS = ["a", "ab", "ab c", "a b c a b", "c"]


@pytest.fixture(scope="module")
def mesh():
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, mesh):
    return clip.Clip.load(made_up.clip(tmp_path_factory.mktemp("clip")), mesh, batch_size=4)


def _pictures(count, height=8, width=8):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)


def test_features_do_not_depend_on_what_else_is_in_the_batch(loaded):
    pictures = _pictures(5)
    np.testing.assert_allclose(loaded.image_features(pictures)[4:], loaded.image_features(pictures[4:]), atol=1e-6)
    np.testing.assert_array_equal(loaded.text_features(CAPTIONS)[4:], loaded.text_features(CAPTIONS[4:]))


def test_a_caption_is_what_its_first_end_has_seen(loaded):
    apply = jax.jit(functools.partial(clip.apply_texts, tower=clip.Tower(heads=2)))
    ids = np.array([[8, 4, 5, 9, 9, 9], [8, 4, 5, 9, 1, 2], [8, 1, 5, 9, 9, 9]])
    seen = [np.asarray(apply(loaded._texts._params, ids, np.array([n] * 3))) for n in (4, 5)]
    np.testing.assert_allclose(seen[0][0], seen[0][1], atol=1e-6)
    assert np.abs(seen[0][0] - seen[0][2]).max() > 1e-3
    # A caption that says <|endoftext|> ends there, as in transformers.
    np.testing.assert_allclose(seen[1][0], seen[0][0], atol=1e-6)


def test_a_long_caption_is_cut_before_its_end(loaded, caplog):
    features = loaded.text_features(["a " * 10, "a " * 10 + "b", "a " * 9])
    assert "first 12 tokens of 1 captions" in caplog.text
    np.testing.assert_array_equal(features[0], features[1])
    assert np.abs(features[0] - features[2]).max() > 1e-3


def test_the_ends_of_a_wide_picture_do_not_count():
    wide = _pictures(1, 8, 24).astype(np.float32)
    np.testing.assert_allclose(clip.square(wide, 8), wide[:, :, 8:16], atol=1e-3)
    np.testing.assert_allclose(clip.square(np.swapaxes(wide, 1, 2), 8), np.swapaxes(wide, 1, 2)[:, 8:16], atol=1e-3)
    assert clip.square(_pictures(1, 5, 11).astype(np.float32), 8).shape == (1, 8, 8, 3)


def test_the_activation_is_the_configs(loaded, mesh, tmp_path):
    other = clip.Clip.load(made_up.clip(tmp_path, hidden_act="gelu"), mesh)
    assert np.abs(other.text_features(CAPTIONS) - loaded.text_features(CAPTIONS)).max() > 1e-3
    assert other.fingerprint != loaded.fingerprint


def test_the_fingerprint_is_that_of_files_and_not_of_where_they_are(loaded, mesh, tmp_path):
    folder = made_up.clip(tmp_path)
    assert clip.Clip.load(folder, mesh).fingerprint == loaded.fingerprint
    text = (folder / "tokenizer.json").read_text("utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"!"', '"?"'), "utf-8")
    assert clip.Clip.load(folder, mesh).fingerprint != loaded.fingerprint


def test_the_file_of_weights_may_have_any_name(loaded, mesh, tmp_path):
    folder = made_up.clip(tmp_path)
    file = (folder / "model.safetensors").rename(folder / "mine.safetensors")
    assert clip.Clip.load(str(file), mesh).fingerprint == loaded.fingerprint


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named_with_the_model_to_take_it_from(name, mesh, tmp_path):
    (made_up.clip(tmp_path) / name).unlink()
    with pytest.raises(DfjaxError, match=f"no {tmp_path / name}: wanted is .* openai/clip-vit-base-patch32"):
        clip.Clip.load(tmp_path, mesh)


def test_an_empty_folder_lacks_all_three(mesh, tmp_path):
    with pytest.raises(DfjaxError, match=r"model.safetensors and no .*tokenizer.json and no .*config.json: wanted"):
        clip.Clip.load(tmp_path / "nothing", mesh)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"text_config": {}}, "no readable 'vision_config'"),
        ([], "no readable 'vision_config'"),
        ({"vision_config": {"num_attention_heads": float("inf")}}, "no readable 'vision_config'"),
        ({"vision_config": {"layer_norm_eps": float("nan")}}, "layer_norm_eps nan"),
        ({"vision_config": {"hidden_act": ["gelu"]}}, "names the activation"),
        ({"text_config": {"hidden_act": "relu"}, "vision_config": {}}, "'relu', not quick_gelu or gelu"),
        (
            {"text_config": {"num_attention_heads": 3}, "vision_config": {"num_attention_heads": 2}},
            "width of 16 is not that of 3 heads",
        ),
    ],
)
def test_a_config_of_something_else_is_refused(config, said, mesh, tmp_path):
    made_up.clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DfjaxError, match=f"are no CLIP: .*{said}"):
        clip.Clip.load(tmp_path, mesh)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("text_projection.weight", None, "no 'text_projection.weight'"),
        ("vision_model.embeddings.patch_embedding.weight", None, "no 'vision_model.embeddings.patch_embedding"),
        ("text_model.embeddings.token_embedding.weight", np.zeros((3, 16)), "knows 10 tokens, and the weights have 3"),
        ("visual_projection.weight", np.zeros((5, 16)), "pictures have 5 features, and captions 6"),
        ("vision_model.embeddings.position_embedding.weight", np.zeros((7, 16)), "is 7 x 16 in it, not 5 x 16"),
    ],
)
def test_weights_of_something_else_are_refused(name, value, said, mesh, tmp_path):
    from safetensors.numpy import load_file

    weights = load_file(made_up.clip(tmp_path) / "model.safetensors")
    del weights[name]
    made_up.save(tmp_path / "model.safetensors", weights if value is None else weights | {name: value})
    with pytest.raises(DfjaxError, match=f"are no CLIP: .*{said}"):
        clip.Clip.load(tmp_path, mesh)
