"""One Slurm for all tests of this folder, and one run that nobody disturbs."""

import pathlib

import pytest

from tests import compiled
from tests.slurm import cluster as cluster_lib


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Slurm of seven nodes with one CPU each: jobs share none, and one is to spare."""
    if reason := cluster_lib.why_not():
        pytest.skip(reason)
    with cluster_lib.running(tmp_path_factory.mktemp("slurm") / "files", nodes=7) as made:
        # Bits depend on the number of threads; compiling takes half the time without optimizations.
        made.variables |= {"NPROC": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
        yield made


@pytest.fixture(scope="session")
def cache() -> pathlib.Path:
    """Compiled programs, which all jobs share, with those of other tests."""
    return pathlib.Path(compiled.folder())
