"""Planning in this process leaves no flags behind for the processes that other tests start."""

import os

import pytest


@pytest.fixture(autouse=True, scope="module")
def same_flags():
    """XLA_FLAGS as they were, after each file: a topology adds its own number of virtual devices to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
        yield
