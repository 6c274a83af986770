"""Sources: any TFDS data set, and errors that say what to do."""

import dataclasses
import pickle
import subprocess
import sys
import time

import pytest
import tensorflow_datasets as tfds

from dfjax import config
from dfjax.data import sources
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import read
from dfjax.data.sources import tfds as reader
from tests.data import tiny


def test_any_labelled_tfds_data_set_can_be_read(tiny_data):
    source = sources.open_source(tiny_data, "train")
    assert len(source) == tiny.TinyLabelled.COUNT
    assert {source[i].text for i in range(len(source))} == set(tiny.LABELS)
    assert source[5].id == "tiny_labelled/train[5]"
    assert source[5].is_label


def test_a_source_survives_the_way_to_a_worker(tiny_data):
    source = sources.open_source(tiny_data, "train")
    assert pickle.loads(pickle.dumps(source))[7] == source[7]


def test_a_missing_data_set_is_told_at_once_with_the_command_that_makes_it(tmp_path):
    start = time.monotonic()
    with pytest.raises(DataError, match="dfjax data build --config="):
        sources.open_source(config.Data(dir=str(tmp_path)), "train")
    with pytest.raises(DataError, match="tfds build mnist"):
        sources.open_source(config.Data(name="mnist", dir=str(tmp_path)), "train")
    assert time.monotonic() - start < 5


def test_an_unknown_split_lists_the_known_ones(tiny_data):
    with pytest.raises(DataError, match=r"no split 'valid'; it has (train, test|test, train)"):
        sources.open_source(tiny_data, "valid")


def test_a_part_of_a_split_can_be_named(tiny_data):
    assert len(sources.open_source(tiny_data, "train[:10]")) == 10


def test_a_data_set_that_cannot_be_read_at_random_says_so(tmp_path):
    tiny.TinyLabelled(data_dir=str(tmp_path)).download_and_prepare()
    info = tmp_path / "tiny_labelled" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="--file_format=array_record"):
        sources.open_source(config.Data(name="tiny_labelled", dir=str(tmp_path)), "train")


def test_a_category_is_a_part_of_the_split_and_keeps_ids(emoji_data):
    food = sources.open_source(dataclasses.replace(emoji_data, category="Food & Drink"), "train")
    whole = sources.open_source(emoji_data, "train")
    assert 300 < len(food) < len(whole)
    assert food[10] == whole[food.indices[10]]


class _Torn:
    """What is stored, of which some records cannot be read any more."""

    def __init__(self, stored, torn):
        self.stored, self.torn = stored, torn

    def __len__(self):
        return len(self.stored)

    def __getitem__(self, index):
        if index in self.torn:
            raise ValueError("crc mismatch")
        return self.stored[index]


def test_a_record_of_a_category_that_is_damaged_later_keeps_its_place(emoji_data):
    data = dataclasses.replace(emoji_data, category="Food & Drink")
    food, whole = sources.open_source(data, "train"), sources.open_source(emoji_data, "train")
    torn = dataclasses.replace(whole, stored=_Torn(whole.stored, {food.indices[3], food.indices[200]}))
    assert reader._in_category(torn, data) == food.indices
    with pytest.raises(BadRecord):
        dataclasses.replace(torn, indices=food.indices)[3]
    with pytest.raises(DataError, match=r"no record of .*/train can be read: its files are damaged"):
        reader._in_category(dataclasses.replace(whole, stored=_Torn(whole.stored, range(len(whole)))), data)


def test_what_decides_the_order_of_records_is_told_in_words(tiny_data):
    whole = sources.open_source(tiny_data, "train")
    assert whole.identity() == sources.open_source(tiny_data, "train").identity()
    assert whole.identity()["version"] == "1.0.0"
    others = (
        sources.open_source(tiny_data, "train[:20]"),
        dataclasses.replace(whole, version="1.0.1"),
        dataclasses.replace(whole, indices=tuple(reversed(whole.indices))),
    )
    assert all(other.identity() != whole.identity() for other in others)


def test_an_unknown_category_lists_the_known_ones(emoji_data, tiny_data):
    with pytest.raises(DataError, match="Animals & Nature"):
        sources.open_source(dataclasses.replace(emoji_data, category="food"), "heldout")
    with pytest.raises(DataError, match="no `category` feature"):
        sources.open_source(dataclasses.replace(tiny_data, category="food"), "train")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"image": "image", "a": "text", "b": "text"}, "set data.text_key to a or b"),
        ({"image": "image"}, "data.text_key to nothing"),
        ({"x": "image", "y": "image", "text": "text"}, "set data.image_key to x or y"),
    ],
)
def test_features_that_cannot_be_told_apart_name_the_key_to_set(features, message):
    kinds = {"image": tfds.features.Image, "text": tfds.features.Text}
    spec = tfds.features.FeaturesDict({name: kinds[kind]() for name, kind in features.items()})
    with pytest.raises(DataError, match=message):
        reader.find_features(spec, config.Data())


def test_a_named_feature_must_exist(tiny_data):
    with pytest.raises(DataError, match=r"data\.text_key='caption'; it can be label"):
        sources.open_source(dataclasses.replace(tiny_data, text_key="caption"), "train")


def test_too_many_damaged_records_end_in_an_error(tiny_data):
    source = sources.open_source(tiny_data, "train")

    def fail(record):
        raise BadRecord("torn\n\x1b[31m at 0x7f1234567890")

    with pytest.raises(DataError, match=r"23 records in a row .*/train\[4\] \(torn \?\[31m at 0x\.\.\.\)"):
        read(source, 4, fail)


def test_a_mistake_in_the_program_is_no_damaged_record(tiny_data):
    with pytest.raises(AttributeError):
        read(sources.open_source(tiny_data, "train"), 0, lambda record: record.colour)


def test_the_data_layer_does_not_import_tensorflow():
    code = "import dfjax.data.pipeline, sys; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
