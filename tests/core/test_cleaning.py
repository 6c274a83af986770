"""Captions as plain text, and what is none."""

import time

import pytest

from dfjax.core import cleaning
from tests.data import kinds


@pytest.mark.parametrize("kind", kinds.CAPTIONS)
def test_a_caption_is_used_without_what_nobody_sees(kind):
    stored, used = kinds.CAPTIONS[kind]
    assert cleaning.clean(stored.decode()) == used
    assert cleaning.clean(used) == used


@pytest.mark.parametrize("kind", [kind for kind in kinds.NO_CAPTIONS if kind != "not utf-8"])
def test_of_what_is_no_caption_nothing_is_left(kind):
    assert cleaning.clean(kinds.NO_CAPTIONS[kind].decode()) == ""


def test_a_longer_text_costs_no_more():
    def seconds(text):
        start = time.perf_counter()
        cleaning.clean(text)
        return time.perf_counter() - start

    longest = "a\x07 " * (cleaning.MAX_CHARACTERS // 3)
    assert min(seconds(longest * 100) for _ in range(5)) < 3 * min(seconds(longest) for _ in range(5))
