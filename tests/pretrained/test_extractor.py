"""Features of pictures: what they depend on, and what they do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import features
from dfjax.pretrained import operations as ops
from dfjax.pretrained.extractor import Extractor, Preprocessing, bicubic

PREPROCESSING = Preprocessing(8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def _network(params, pictures):
    return jnp.mean(jnp.tanh(ops.convolve(pictures, params, "layer")), axis=(1, 2))


def _params(seed=0, outputs=5):
    random = np.random.default_rng(seed)
    return {
        "layer.weight": random.normal(size=(outputs, 3, 3, 3)).astype(np.float32),
        "layer.bias": random.normal(size=outputs),
        "not.used": np.zeros(3),
    }


def _pictures(count, side=12):
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def mesh():
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])


@pytest.fixture
def extractor(mesh):
    return Extractor("tiny", _network, _params(), PREPROCESSING, mesh, batch_size=4)


def test_features_are_the_networks_of_normalised_pictures(extractor):
    pictures = _pictures(3, side=8)
    normal = (pictures / 255 - np.array(PREPROCESSING.mean)) / np.array(PREPROCESSING.std)
    wanted = _network(_params(), jnp.asarray(normal, jnp.float32))
    found = extractor(pictures)
    assert (found.dtype, found.shape, extractor.size) == (np.float32, (3, 5), 5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_a_feature_does_not_depend_on_its_batch(count, extractor):
    pictures = _pictures(9)
    np.testing.assert_allclose(extractor(pictures[:count]), extractor(pictures)[:count], rtol=1e-5, atol=1e-6)


def test_no_pictures_have_no_features(extractor):
    assert extractor(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 1), np.uint8), np.zeros((8, 8, 3), np.uint8)]
)
def test_what_is_no_picture_of_bytes_is_refused(wrong, extractor):
    with pytest.raises(ValueError, match="uint8 pictures"):
        extractor(wrong)


def test_it_multiplies_in_float32_whatever_the_devices_default(extractor):
    pictures = jnp.zeros((4, 12, 12, 3), jnp.uint8)
    text = extractor._extract.lower(extractor._params, pictures).as_text()
    multiplied = [
        line for line in text.splitlines() if "stablehlo.dot_general" in line or "stablehlo.convolution" in line
    ]
    assert len(multiplied) >= 2  # Resizing and the layer.
    assert all("HIGHEST" in line for line in multiplied)


def test_nothing_is_compiled_and_nothing_lies_on_devices_before_it_is_called(extractor):
    assert extractor._on_devices is None
    assert extractor._extract._cache_size() == 0
    assert "not.used" not in extractor._params
    for count in (1, 7, 9):
        extractor(_pictures(count))
    assert extractor._extract._cache_size() == 1


def test_the_fingerprint_is_of_name_preprocessing_and_parameters(mesh):
    def fingerprint(name="tiny", params=None, preprocessing=PREPROCESSING, batch_size=4):
        return Extractor(name, _network, params or _params(), preprocessing, mesh, batch_size).fingerprint

    changed = [
        fingerprint(name="other"),
        fingerprint(params=_params(seed=1)),
        fingerprint(preprocessing=dataclasses.replace(PREPROCESSING, resolution=9)),
        fingerprint(preprocessing=dataclasses.replace(PREPROCESSING, mean=(0.5, 0.5, 0.5))),
        fingerprint(preprocessing=dataclasses.replace(PREPROCESSING, resize=features.inception.resize)),
    ]
    assert len({fingerprint(), *changed}) == 6
    # What features do not depend on.
    assert fingerprint() == fingerprint(batch_size=64) == fingerprint(params=_params() | {"not.used": np.ones(3)})


@pytest.mark.parametrize(("size", "resolution"), [(32, 96), (64, 24), (20, 20), (33, 8)])
def test_pictures_are_resized_as_pillow_does_in_floats(size, resolution):
    pictures = _pictures(1, size)[..., :1].astype(np.float32)
    whole = Image.fromarray(pictures[0, ..., 0]).resize((resolution, resolution), Image.Resampling.BICUBIC)
    wanted = np.clip(np.asarray(whole), 0, 255)
    np.testing.assert_allclose(bicubic(jnp.asarray(pictures), resolution)[0, ..., 0], wanted, atol=1e-2)


def test_an_oblong_picture_becomes_a_square():
    assert bicubic(jnp.zeros((2, 10, 30, 3)), 16).shape == (2, 16, 16, 3)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "there is no 'layer.weight' in it"),
        ({"layer.weight": np.zeros((5, 4, 3, 3))}, "'layer.weight' is 5 x 4 x 3 x 3 in it, not any x 3 x any x any"),
        ({"layer.weight": np.zeros((5, 3, 3, 3)), "layer.bias": np.zeros(1)}, "'layer.bias' is 1 in it, not 5"),
    ],
)
def test_parameters_of_another_network_are_named(params, words, mesh):
    with pytest.raises(features.WeightsError, match=words):
        Extractor("tiny", _network, params, PREPROCESSING, mesh)
