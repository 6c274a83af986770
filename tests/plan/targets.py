"""Meshes of TPUs that are not there: libtpu compiles for them on any machine. Without it such a test is skipped."""

import os

import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import Mesh

# Before libtpu is loaded, which else asks a cloud's metadata server where it runs, and lets one process alone load it.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")


def mesh(topology: str, **sizes: int) -> Mesh:
    """A mesh of a topology like ``v5e:4x4``, of as many slices of it as ``replica`` says; axes in the order given."""
    pytest.importorskip("libtpu", reason="libtpu is missing, which compiles for TPUs on a CPU: pip install libtpu")
    slices = {"num_slices": sizes["replica"]} if "replica" in sizes else {}
    devices = topologies.get_topology_desc(topology, platform="tpu", **slices).devices
    return Mesh(np.array(devices).reshape(tuple(sizes.values())), tuple(sizes))
