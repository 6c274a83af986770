"""A small data set, and features that need no network."""

import hashlib

import numpy as np
import pytest

from dfjax import config
from dfjax.evals import real
from tests.data import tiny


class Means:
    """Stands in for an extractor: the mean colour of each quarter, 12 features."""

    name, size = "means", 12

    def __init__(self, salt: str = ""):
        self.fingerprint = hashlib.sha256(f"means{salt}".encode()).hexdigest()
        self.seen = 0

    def __call__(self, pictures):
        self.seen += len(pictures)
        n, height, width, _ = pictures.shape
        cells = pictures.astype(np.float32).reshape(n, 2, height // 2, 2, width // 2, 3).mean(axis=(2, 4))
        return cells.reshape(n, 12)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("tiny"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def tiny_data(tiny_dir) -> config.Data:
    return config.Data(
        name="tiny_labelled", dir=tiny_dir, resolution=8, workers=0, split="train", validation_split="test"
    )


@pytest.fixture
def pictures(tiny_data) -> real.Real:
    return real.read(tiny_data, "train", 100)


@pytest.fixture
def means() -> Means:
    return Means()
