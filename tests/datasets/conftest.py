"""Fixtures for the tests of the embedded data sets."""

import pytest

from dfjax import config


@pytest.fixture(scope="session")
def emoji_data(emoji_dir) -> config.Data:
    return config.Data(dir=emoji_dir, workers=0)
