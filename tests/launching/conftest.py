"""A data set for the runs that engines start."""

import pytest

from tests.data import tiny


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> str:
    """The folder of the tiny data set."""
    folder = str(tmp_path_factory.mktemp("tiny"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return folder
