"""Pictures of every kind: used as they are meant, or refused in words."""

import resource

import numpy as np
import pytest
from PIL import Image

from dfjax.data import decoding, transforms
from dfjax.data.errors import BadRecord
from tests.data import kinds


@pytest.mark.parametrize("kind", kinds.USABLE)
def test_a_usable_picture_is_rgb_on_white(kind):
    pixels = transforms.render(kinds.usable(kind), (8, 8))
    assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)
    # JPEG loses a little.
    np.testing.assert_allclose(pixels, np.broadcast_to(kinds.USABLE[kind][1], (8, 8, 3)), atol=4)


@pytest.mark.parametrize("kind", kinds.DAMAGED)
def test_what_is_no_picture_is_refused_with_the_same_words_each_time(kind):
    reasons = []
    for _ in range(2):
        with pytest.raises(BadRecord) as caught:
            decoding.decode(kinds.damaged(kind), 8)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    assert ("data.max_pixels" in reasons[0]) == (kind in ("png bomb", "wide png bomb", "gif bomb", "webp bomb"))


def test_shades_of_16_bits_stay_apart():
    levels = np.linspace(0, 65535, 256 * 256).astype(np.uint16).reshape(256, 256)
    grey = np.asarray(decoding.decode(kinds.encode(Image.fromarray(levels)), 8))[..., 0]
    np.testing.assert_array_equal(np.unique(grey), np.arange(256))


def test_a_photograph_is_turned_upright():
    pixels = transforms.render(kinds.TURNED(), (8, 8))
    assert pixels[0, :, 0].min() > 200 > 50 > pixels[-1, :, 0].max()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "animated gif"])
def test_one_pixel_more_than_admitted_is_refused(kind):
    width, height = kinds.SIZE
    data = kinds.usable(kind)
    decoding.decode(data, 8, max_pixels=width * height)
    with pytest.raises(BadRecord, match=f"{width} x {height} pixels, more than data.max_pixels={width * height - 1}"):
        decoding.decode(data, 8, max_pixels=width * height - 1)


def test_bombs_cost_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in ("png bomb", "gif bomb", "webp bomb"):
        with pytest.raises(BadRecord):
            decoding.decode(kinds.DAMAGED[kind](), 8)
    # Decoded, the smallest of them takes 800 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_nothing_that_a_picture_holds_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in kinds.DAMAGED:
        with pytest.raises(BadRecord):
            decoding.decode(kinds.damaged(kind), 8)
    assert list(tmp_path.iterdir()) == []
