"""Fixtures for the tests of the data layer."""

import pytest

from dfjax import config
from tests.data import tiny


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> config.Data:
    """A data set of 23 labelled pictures."""
    folder = str(tmp_path_factory.mktemp("tiny"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return config.Data(name="tiny_labelled", dir=folder, resolution=8, workers=0, flip=True, vary_captions=True)


@pytest.fixture(scope="session")
def damaged_data(tmp_path_factory) -> config.Data:
    """The same with three of its pictures damaged."""
    folder = str(tmp_path_factory.mktemp("damaged"))
    tiny.TinyLabelled(data_dir=folder, damaged=(3, 4, 17)).download_and_prepare()
    return config.Data(name="tiny_labelled", dir=folder, resolution=8, workers=0)


@pytest.fixture(scope="session")
def emoji_data(emoji_dir) -> config.Data:
    return config.Data(dir=emoji_dir, workers=0)
