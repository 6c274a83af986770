"""Decoded pictures: the same whether kept or not, and kept of small data sets alone."""

import pickle

import numpy as np
import pytest

from dfjax.data import pictures, sources, transforms


@pytest.fixture
def source(tiny_data):
    return sources.open_source(tiny_data, "train")


def test_a_picture_is_the_decoded_record_each_time(source):
    shown = pictures.Pictures(source, (8, 8))
    for _ in range(2):
        for index in (3, 7):
            record, pixels = shown[index]
            assert (record.id, record.text) == (source[index].id, source[index].text)
            np.testing.assert_array_equal(pixels, transforms.render(source[index].image, (8, 8)))


def test_of_a_small_data_set_each_is_decoded_once(source, monkeypatch):
    shown = pictures.Pictures(source, (8, 8))
    first = shown[3][1]
    monkeypatch.setattr(transforms, "render", None)
    assert shown[3][1] is first
    with pytest.raises(TypeError):
        shown[4]


def test_of_a_large_one_none_is_kept(source, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", len(source) * 8 * 8 * 3 - 1)
    shown = pictures.Pictures(source, (8, 8))
    assert shown[3][1] is not shown[3][1]
    assert shown._kept == {}


def test_nobody_can_change_what_is_kept(source):
    shown = pictures.Pictures(source, (8, 8))
    with pytest.raises(ValueError, match="read-only"):
        shown[3][1][0, 0] = 1


def test_workers_are_sent_it(source):
    shown = pickle.loads(pickle.dumps(pictures.Pictures(source, (8, 8))))
    np.testing.assert_array_equal(shown[3][1], transforms.render(source[3].image, (8, 8)))
