"""Each optimizer on eight devices: its state is split, its updates are those of one device, and it restores on one."""

import ast
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from dfjax.core.registry import OPTIMIZERS
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import state as state_lib
from tests import small
from tests.multidevice.optimizers_program import VALUES
from tests.plugin_groups import asked_for

ROOT = pathlib.Path(__file__).parents[2]
GATE = pytest.mark.gate(name=("adafactor",))


@pytest.fixture(scope="module")
def written(tmp_path_factory, request) -> pathlib.Path:
    """The folder in which the program, with eight devices, wrote down what it got."""
    out = tmp_path_factory.mktemp("out")
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "tests.multidevice.optimizers_program", str(out), *asked_for(request, "name")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def _parts(written, name):
    return {key: (whole, part) for key, whole, part in ast.literal_eval((written / f"{name} eight.txt").read_text())}


@GATE
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_one_device(name, written):
    wanted, found = np.load(written / f"{name} one.npz"), np.load(written / f"{name} eight.npz")
    assert set(found) == set(wanted)
    start = trees.named_leaves({"params": small.denoiser(VALUES).abstract_params()})
    assert set(start) < set(wanted)
    for key in wanted:
        # Muon's five products of matrices add up in another order.
        tolerance = 1e-4 * max(float(np.abs(wanted[key]).max()), 1e-3)
        np.testing.assert_allclose(found[key], wanted[key], atol=tolerance, err_msg=key)


@pytest.mark.long
@pytest.mark.parametrize(("name", "moments"), [("adamw", 2), ("lion", 1), ("muon", 1)])
def test_moments_are_split_as_their_parameters(name, moments, written):
    parts = _parts(written, name)
    queries = [shapes for key, shapes in parts.items() if key.endswith("blocks/attention/query/kernel")]
    assert queries == [((2, 128, 128), (2, 32, 64))] * moments
    share = sum(np.prod(part) for _, part in parts.values()) / sum(np.prod(whole) for whole, _ in parts.values())
    # An eighth, and modulation, first and last layers and embeddings a quarter.
    assert share < 0.22


def test_a_factored_moment_is_split_as_the_axes_that_it_has_left(written):
    parts = _parts(written, "adafactor")
    rows, columns = (
        next(shapes for key, shapes in parts.items() if key.endswith(f"{which}/blocks/mlp/up/kernel"))
        for which in ("v_row", "v_col")
    )
    # Outputs are the longer side, over which the first is a mean.
    assert rows == ((2, 128), (2, 32))
    assert columns == ((2, 256), (2, 128))


def test_a_factored_moment_of_a_square_matrix_too(written):
    parts = _parts(written, "adafactor")
    # Both are as long, and only their names say which axis is left.
    for which, part in (("v_row", 32), ("v_col", 64)):
        key = next(key for key in parts if key.endswith(f"{which}/blocks/attention/query/kernel"))
        assert parts[key] == ((2, 128), (2, part))


@GATE
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_eight_devices_saved_one_device_restores(name, written):
    mesh = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
    network = small.network(VALUES | {"optim.name": name})
    wanted = state_lib.abstract(network, small.optimizer(network), mesh)
    items = {"params": wanted.params, "ema": wanted.ema, "optimizer": wanted.optimizer}
    with Checkpoints(Workdir(written / name).checkpoints) as checkpoints:
        restored = checkpoints.arrays(1, items)
    assert jax.tree.structure(restored["optimizer"]) == jax.tree.structure(wanted.optimizer)
    saved = np.load(written / f"{name} eight.npz")
    for key, leaf in trees.named_leaves({"optimizer": restored["optimizer"]}).items():
        np.testing.assert_array_equal(leaf, saved[key], err_msg=key)
