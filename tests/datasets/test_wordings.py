"""Captions: wording, colours, and the pairs that are never said."""

import dataclasses

import numpy as np
import pytest

from dfjax import config
from dfjax.data import pipeline, sources
from dfjax.data.errors import DataError
from dfjax.datasets import emoji, recolour, wordings

APPLE = wordings.EmojiRecord(
    "x[0]", b"", "red apple, noto", concept="red apple", style="noto", object="apple", recolourable=True
)
BANANA = dataclasses.replace(APPLE, text="banana, noto", concept="banana", object="banana")


def test_the_canonical_caption_comes_first_and_half_of_them_name_the_style():
    said = wordings.variants(APPLE)
    assert said[0] == wordings.every(APPLE)[0] == "red apple, noto"
    assert {"red apple", "a red apple", "a picture of a red apple", "a picture of a red apple, noto"} <= set(said)
    assert 0.5 <= np.mean([caption.endswith(", noto") for caption in said]) <= 0.67


def test_a_recoloured_object_is_said_in_its_new_colour():
    assert wordings.coloured(APPLE, "blue")[0] == "blue apple, noto"
    assert {"a blue apple", "a picture of a blue apple, noto"} <= set(wordings.coloured(APPLE, "blue"))


def test_an_unseen_pair_is_refused():
    assert "green" not in wordings.colours(BANANA)
    with pytest.raises(DataError, match="banana"):
        wordings.coloured(BANANA, "green")


def test_no_caption_of_any_record_holds_an_unseen_pair(emoji_data):
    for split in ("train", "heldout"):
        source = sources.open_source(emoji_data, split)
        for index in range(len(source)):
            record = source[index]
            for caption in source.captions(record):
                words = f" {caption.replace(',', ' ')} "
                for colour, thing in recolour.UNSEEN_PAIRS:
                    assert not (f" {colour} " in words and f" {thing} " in words), caption


def test_no_tokenizer_learns_from_an_unseen_pair(emoji_data):
    learned = " ".join(pipeline.example_captions(sources.open_source(emoji_data, "train")))
    assert "blue apple" in learned
    assert not any(f"{colour} {thing}" in learned for colour, thing in recolour.UNSEEN_PAIRS)


def test_drawn_hues_are_the_allowed_ones_and_agree_with_the_caption():
    data = config.Data(recolour=0.5, vary_captions=True)
    rng = np.random.default_rng(0)
    drawn = [wordings.choose(BANANA, data, rng) for _ in range(600)]
    assert {colour for _, colour in drawn} == {None, *recolour.HUES} - {"green"}
    assert all(f"{colour} banana" in caption for caption, colour in drawn if colour)
    assert 0.4 < np.mean([colour is not None for _, colour in drawn]) < 0.6


def test_captions_are_canonical_unless_varied():
    rng = np.random.default_rng(0)
    assert {wordings.choose(APPLE, config.Data(), rng) for _ in range(50)} == {("red apple, noto", None)}


def test_pictures_are_told_apart_by_their_concept(emoji_data):
    source = sources.open_source(emoji_data, "train")
    assert source.wording(APPLE) == "red apple"
    assert source.wording(dataclasses.replace(APPLE, concept="")) == "red apple, noto"


def test_recolouring_leaves_the_white_background():
    pixels = np.full((8, 8, 3), 255, np.uint8)
    pixels[2:6, 2:6] = (220, 30, 30)
    blue = emoji.recoloured(pixels, "blue")
    assert (blue[0] == 255).all()
    assert blue[4, 4].argmax() == 2
