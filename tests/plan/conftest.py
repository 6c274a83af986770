"""A plan to share; and planning leaves no flags behind for the processes that other tests start."""

import os

import pytest

from dfjax.plan import report
from tests import small
from tests.plan import small_device


@pytest.fixture(autouse=True, scope="module")
def same_flags():
    """XLA_FLAGS as they were, after each file: a topology adds its own number of virtual devices to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
        yield


@pytest.fixture(scope="module")
def plan():
    """Of the small config's step on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        small_device.use(patch)
        yield report.make(small.config(small_device.ROWS), small_device.topology())
