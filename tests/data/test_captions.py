"""Captions: how classes are named."""

import pytest

from dfjax.data import captions


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


def test_labels_are_said_in_words_and_free_text_as_it_is():
    said = captions.variants("golden_retriever", is_label=True)
    assert said == ("golden retriever", "a golden retriever", "a picture of a golden retriever")
    assert captions.variants("two_dogs playing", is_label=False) == ("two_dogs playing",)
