"""Fixtures for every test."""

import os
import pathlib

import hypothesis
import jax
import pytest

from dfjax import config
from dfjax.core import registry
from dfjax.data import sources
from tests import command, compiled, shared
from tests.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401 - for pytest

# Tests compile much and compute little: half the time without the compiler's optimizations. Before JAX is first used.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
compiled.keep()

# The first call of a test compiles, which no deadline allows for. The same examples each time: a failure comes back.
hypothesis.settings.register_profile("dfjax", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("dfjax")

_MOST_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_other_modules_is_left():
    """Each compiled program holds parts of the address space, of which Linux gives a process 65,530."""
    yield
    command.end_all()
    maps = pathlib.Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _what_is_registered_is_forgotten():
    """No test finds what another one registered."""
    yield
    for each in vars(registry).values():
        if isinstance(each, registry.Registry):
            each.forget()


@pytest.fixture(scope="session")
def emoji_dir(tmp_path_factory) -> str:
    """A folder with the data set emoji_captions, built once; DFJAX_TEST_DATA names a folder that keeps it."""
    kept = os.environ.get("DFJAX_TEST_DATA")
    folder = pathlib.Path(kept) if kept else shared.folder(tmp_path_factory, "tfds")
    with shared.alone(folder):
        sources.build(config.Data(dir=str(folder)))
    return str(folder)
