"""Captions: wording, colours, and the pairs that are never said."""

import dataclasses

import numpy as np
import pytest

from dfjax import config
from dfjax.data import captions, pipeline, sources
from dfjax.data.errors import DataError
from dfjax.data.records import Record
from dfjax.datasets import recolour

APPLE = Record("x[0]", b"", "red apple, noto", concept="red apple", style="noto", object="apple", recolourable=True)
BANANA = dataclasses.replace(APPLE, text="banana, noto", concept="banana", object="banana")


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ("red apple", "a red apple"),
        ("eggplant", "an eggplant"),
        ("unicorn", "a unicorn"),
        ("hourglass not done", "an hourglass not done"),
        ("one o’clock", "a one o’clock"),
        ("grapes", "grapes"),
        ("french fries", "french fries"),
        ("compass", "a compass"),
        ("broccoli", "broccoli"),
        ("ear of corn", "an ear of corn"),
        ("chopsticks", "chopsticks"),
        ("cup with straw", "a cup with straw"),
        ("Santa Claus", "Santa Claus"),
        ("7", "a 7"),
        ("8", "an 8"),
    ],
)
def test_the_article_is_right(thing, said):
    assert captions.with_article(thing) == said


def test_the_canonical_caption_comes_first_and_half_of_them_name_the_style():
    said = captions.variants(APPLE)
    assert said[0] == captions.canonical(APPLE) == "red apple, noto"
    assert {"red apple", "a red apple", "a picture of a red apple", "a picture of a red apple, noto"} <= set(said)
    assert 0.5 <= np.mean([caption.endswith(", noto") for caption in said]) <= 0.67


def test_a_recoloured_object_is_said_in_its_new_colour():
    assert captions.coloured(APPLE, "blue")[0] == "blue apple, noto"
    assert {"a blue apple", "a picture of a blue apple, noto"} <= set(captions.coloured(APPLE, "blue"))


def test_labels_are_said_in_words_and_free_text_as_it_is():
    label = Record("x[0]", b"", "golden_retriever", is_label=True)
    assert captions.canonical(label) == "golden retriever"
    assert "a picture of a golden retriever" in captions.variants(label)
    assert captions.variants(Record("x[1]", b"", "two_dogs playing")) == ("two_dogs playing",)


def test_an_unseen_pair_is_refused():
    assert "green" not in captions.colours(BANANA)
    with pytest.raises(DataError, match="banana"):
        captions.coloured(BANANA, "green")


def test_no_caption_of_any_record_holds_an_unseen_pair(emoji_data):
    for split in ("train", "heldout"):
        source = sources.open_source(emoji_data, split)
        for index in range(len(source)):
            record = source[index]
            said = list(captions.variants(record))
            for colour in captions.colours(record):
                said += captions.coloured(record, colour)
            for caption in said:
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
    drawn = [captions.choose(BANANA, data, rng) for _ in range(600)]
    assert {colour for _, colour in drawn} == {None, *recolour.HUES} - {"green"}
    assert all(f"{colour} banana" in caption for caption, colour in drawn if colour)
    assert 0.4 < np.mean([colour is not None for _, colour in drawn]) < 0.6


def test_captions_are_canonical_unless_varied():
    rng = np.random.default_rng(0)
    assert {captions.choose(APPLE, config.Data(), rng) for _ in range(50)} == {("red apple, noto", None)}
