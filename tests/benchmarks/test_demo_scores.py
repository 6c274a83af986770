"""The demo's scores: full marks for real pictures, chance for shuffled ones."""

import colorsys

import numpy as np
import pytest

from benchmarks import demo
from dfjax import config
from dfjax.datasets import recolour


@pytest.fixture(scope="module")
def real(emoji_dir):
    data = config.Data(dir=emoji_dir, category="Food & Drink")
    return demo.both(demo.real_pictures(data, "train"), demo.real_pictures(data, "heldout"))


def test_real_pictures_score_one(real):
    scores = demo.nearest_scores(real.images, real.concepts, real.styles, real)
    assert scores == {"concept_rank1": 1.0, "concept_rank5": 1.0, "style_rank1": 1.0}


def test_shuffled_names_score_near_chance(real):
    order = np.random.default_rng(0).permutation(len(real.images))
    scores = demo.nearest_scores(real.images, real.concepts[order], real.styles[order], real, prefix="heldout_")
    assert scores["heldout_concept_rank1"] < 0.05
    assert scores["heldout_concept_rank5"] < 0.1
    assert 0.2 < scores["heldout_style_rank1"] < 0.5


def _recoloured(real, colour_of):
    """Real pictures of the unseen pairs' objects, in the colour that ``colour_of(pair)`` names."""
    drawn, colours, objects = [], [], []
    for colour, thing in recolour.UNSEEN_PAIRS:
        for i in np.flatnonzero(real.objects == thing):
            pixels = recolour.recolour(real.images[i].astype(np.float32) / 255, colour_of(colour))
            drawn.append(np.round(255 * pixels).astype(np.uint8))
            colours.append(colour)
            objects.append(thing)
    return np.stack(drawn), colours, np.array(objects)


def test_real_objects_in_the_wanted_hue_score_one_in_colour(real):
    scores = demo.unseen_scores(*_recoloured(real, lambda colour: colour), real)
    assert scores["unseen_colour"] == 1.0
    assert scores["unseen_object_in_hue"] == 1.0
    # A hue moves the luma, so that even perfect pictures are not all nearest to their own natural grey.
    assert 0.7 < scores["unseen_object"] < 0.85


def test_another_hue_scores_nothing_in_colour(real):
    names = list(recolour.HUES)

    def next_one(colour):
        return names[(names.index(colour) + 1) % len(names)]

    assert demo.unseen_scores(*_recoloured(real, next_one), real)["unseen_colour"] == 0.0


def test_other_objects_score_nothing_as_objects(real):
    drawn, colours, objects = _recoloured(real, lambda colour: colour)
    # Half the list further on, no object is its own neighbour.
    shifted = np.roll(objects, len(objects) // 2)
    assert demo.unseen_scores(drawn, colours, shifted, real)["unseen_object"] < 0.1


def test_a_picture_without_colour_has_no_hue():
    grey = np.full((8, 8, 3), 128, np.uint8)
    assert np.isnan(demo.median_hue(grey, np.ones((8, 8), bool)))
    assert not recolour.HUES["red"].holds(np.nan)


@pytest.mark.parametrize("hue", [0, 1, 120, 359])
def test_the_median_hue_knows_the_circle_and_the_mask(hue):
    picture = np.zeros((4, 4, 3), np.uint8)
    for i, degrees in enumerate((hue - 10, hue, hue, hue + 10)):
        picture[i] = np.round(255 * np.array(colorsys.hsv_to_rgb(degrees % 360 / 360, 1, 1)))
    picture[:, 3] = (0, 255, 255)
    mask = np.ones((4, 4), bool)
    mask[:, 3] = False
    assert abs((demo.median_hue(picture, mask) - hue + 180) % 360 - 180) < 2


def test_pooling_takes_the_mean_of_each_cell():
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[0, :2, :2, 0] = 255
    pooled = demo.pooled(picture).reshape(8, 8, 3)
    assert pooled[0, 0].tolist() == [1, 0, 0]
    assert pooled.sum() == 1
    assert demo.pooled(picture, grey=True).sum() == pytest.approx(0.299)
