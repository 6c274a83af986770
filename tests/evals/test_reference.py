"""Real pictures and their features: computed once, used again for the very same, refused for all else."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from dfjax.data.errors import DataError
from dfjax.evals import real, reference
from dfjax.evals.errors import StatisticsError
from tests.data import tiny
from tests.evals.conftest import Means


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_captions_and_pictures_are_of_the_same_records(pictures):
    assert len(pictures) == len(pictures.captions) == 23
    shown = pictures.pictures([5, 0, 5])
    assert shown.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(shown[0], shown[2])
    assert (shown[0] != shown[1]).any()


def test_a_limit_spreads_over_the_split_evenly(tiny_data, pictures):
    few = real.read(tiny_data, "train", 4)
    assert few.indices == (0, 5, 11, 17)
    assert few.captions == tuple(pictures.captions[place] for place in few.indices)
    assert few.digest != pictures.digest


def test_a_damaged_record_is_replaced_in_captions_and_pictures_alike(tmp_path, tiny_data, pictures):
    tiny.TinyLabelled(data_dir=str(tmp_path), damaged=(3, 4)).download_and_prepare()
    damaged = real.read(dataclasses.replace(tiny_data, dir=str(tmp_path)), "train", 100)
    whole, shown = pictures.pictures(range(23)), damaged.pictures(range(23))
    torn = [place for place in range(23) if (whole[place] != shown[place]).any()]
    assert len(torn) == 2
    for place in torn:
        # The next one that is not damaged, in the order of the split.
        other = next(i % 23 for i in range(place + 1, place + 4) if i % 23 not in torn)
        np.testing.assert_array_equal(shown[place], whole[other])
        assert damaged.captions[place] == pictures.captions[other]
    assert damaged.digest != pictures.digest


def test_a_split_that_is_not_there_is_named(tiny_data):
    with pytest.raises(DataError, match="no split 'heldout'"):
        real.read(tiny_data, "heldout", 10)


def test_features_are_computed_once_and_found_again(pictures, means, cache):
    first = reference.features(pictures, means)
    np.testing.assert_array_equal(first, means(pictures.pictures(range(23))))
    seen = means.seen
    np.testing.assert_array_equal(reference.features(pictures, means), first)
    assert means.seen == seen
    assert len(list((cache / "dfjax" / "reference").iterdir())) == 1


def test_other_features_or_pictures_are_not_taken_from_the_cache(pictures, means, tiny_data):
    reference.features(pictures, means)
    other = Means("of another network")
    reference.features(pictures, other)
    reference.features(real.read(tiny_data, "test", 100), means)
    assert other.seen == 23
    assert means.seen == 46


def test_a_file_that_is_named_is_made_and_used_and_refused_for_something_else(pictures, means, tiny_data, tmp_path):
    path = tmp_path / "new" / "reference.safetensors"
    first = reference.features(pictures, means, path)
    again = Means()
    np.testing.assert_array_equal(reference.features(pictures, again, path), first)
    assert again.seen == 0
    with pytest.raises(StatisticsError, match=r"something else: network is .* Name another file"):
        reference.features(pictures, Means("other"), path)
    with pytest.raises(StatisticsError, match="resolution is '8' there and '16' here"):
        larger = real.read(dataclasses.replace(tiny_data, resolution=16), "train", 100)
        reference.features(larger, means, path)
    with pytest.raises(StatisticsError, match="records is '23' there and '7' here"):
        reference.features(real.read(tiny_data, "train", 7), means, path)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"nothing", lambda data: b""])
def test_a_damaged_file_is_refused_where_it_was_named_and_made_anew_in_the_cache(
    damage, pictures, means, tmp_path, cache
):
    path = tmp_path / "reference.safetensors"
    reference.features(pictures, means, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StatisticsError, match="no reference statistics that can be read"):
        reference.features(pictures, means, path)
    reference.features(pictures, means)
    (kept,) = (cache / "dfjax" / "reference").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    seen = means.seen
    reference.features(pictures, means)
    assert means.seen == seen + 23


def test_a_forged_shape_is_not_believed(pictures, means, tmp_path):
    path = tmp_path / "reference.safetensors"
    metadata = reference.describe(pictures, means)
    path.write_bytes(safetensors.numpy.save({"features": np.zeros((2, 12), np.float32)}, metadata))
    with pytest.raises(StatisticsError, match="no reference statistics that can be read"):
        reference.features(pictures, means, path)


def test_where_nothing_can_be_kept_there_is_a_warning(pictures, means, cache, caplog):
    cache.write_text("a file in the way")
    assert reference.features(pictures, means).shape == (23, 12)
    assert "nothing can be kept" in caplog.text
