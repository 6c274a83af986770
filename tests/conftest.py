"""Fixtures for every test."""

import os
import pathlib

import pytest

from dfjax import config
from dfjax.data import sources


@pytest.fixture(scope="session")
def emoji_dir(tmp_path_factory) -> str:
    """A folder with the data set emoji_captions, built once; DFJAX_TEST_DATA names a folder that keeps it."""
    kept = os.environ.get("DFJAX_TEST_DATA")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("tfds")
    sources.build(config.Data(dir=str(folder)))
    return str(folder)
