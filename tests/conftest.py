"""Fixtures for every test."""

import os
import pathlib

import hypothesis
import jax
import pytest

from dfjax import config
from dfjax.data import sources
from tests import command
from tests.scheduling import pytest_xdist_make_scheduler  # noqa: F401 - pytest calls it

# Tests compile much and compute little: half the time without the compiler's optimizations. Before JAX is first used.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# The first call of a test compiles, which no deadline allows for. The same examples each time: a failure comes back.
hypothesis.settings.register_profile("dfjax", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("dfjax")


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_other_modules_is_left():
    """Each compiled program holds parts of the address space, of which Linux gives a process only so many."""
    yield
    jax.clear_caches()
    command.end_all()


@pytest.fixture(scope="session")
def emoji_dir(tmp_path_factory) -> str:
    """A folder with the data set emoji_captions, built once; DFJAX_TEST_DATA names a folder that keeps it."""
    kept = os.environ.get("DFJAX_TEST_DATA")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("tfds")
    sources.build(config.Data(dir=str(folder)))
    return str(folder)
