"""The CLIP score: the mean cosine of pictures and their captions, in percent."""

import numpy as np
import pytest

from dfjax.evals.evaluators import clip

IMAGES, TEXTS = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)


class _Fixed:
    """Features by number, of a picture whose pixels all have it and of a caption that says it."""

    def image_features(self, pictures):
        return IMAGES[pictures[:, 0, 0, 0]]

    def text_features(self, captions):
        return TEXTS[[int(caption) for caption in captions]]


def _score(count, captions=None):
    pictures = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return clip.score(_Fixed(), pictures, [str(i) for i in range(captions or count)])


def test_the_score_is_the_mean_of_the_cosines_in_percent_without_negative_ones():
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(IMAGES, TEXTS, strict=True)]
    assert min(cosines) < -0.1
    each = [max(100 * cosine, 0) for cosine in cosines]
    figure = _score(9)
    assert (figure.name, figure.num_images) == ("clip_score", 9)
    assert figure.value == pytest.approx(np.mean(each), rel=1e-6)
    assert figure.stderr == pytest.approx(np.std(each, ddof=1) / 3, rel=1e-6)


def test_the_score_of_one_picture_has_no_standard_error():
    assert _score(1).stderr is None


def test_each_picture_needs_its_caption():
    with pytest.raises(ValueError, match="not 2 and 3"):
        _score(3, captions=2)
