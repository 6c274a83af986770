"""One step on eight devices, on several meshes and in several parts, against the same step on one device."""

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
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import optim
from dfjax.training import state as state_lib
from tests import small
from tests.data import tiny
from tests.multidevice import layouts
from tests.plugin_groups import asked_for

ROOT = pathlib.Path(__file__).parents[2]
OTHERS = [
    pytest.param(name, marks=() if name in layouts.GATE else pytest.mark.long)
    for name, layout in layouts.LAYOUTS.items()
    if name != layout.alone
]


@pytest.fixture(scope="module")
def written(tmp_path_factory, request) -> pathlib.Path:
    """The folder in which program.py, with eight devices, wrote down what it got."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    tiny.TinyLabelled(data_dir=str(data)).download_and_prepare()
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    asked = {name for which in ("alone", "pair", "name") for name in asked_for(request, which)}
    names = sorted(asked | {layouts.LAYOUTS[name].alone for name in asked})
    command = [sys.executable, "-m", "tests.multidevice.program", str(data), str(out), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module", params=["1x1x1", "mmdit 1x1x1"])
def alone(request, written):
    return dict(np.load(written / f"{request.param}.npz"))


@pytest.fixture(params=OTHERS)
def pair(request, written):
    """What one device got, and what several did of the same network."""
    names = (layouts.LAYOUTS[request.param].alone, request.param)
    return tuple(dict(np.load(written / f"{name}.npz")) for name in names)


def _part(results, prefix):
    return {name: value for name, value in results.items() if name.startswith(prefix + "/")}


def _global_norm(leaves):
    return np.sqrt(sum(np.sum(np.square(leaf.astype(np.float64))) for leaf in leaves.values()))


def test_batch_levels_and_noise_have_the_very_bits(pair):
    alone, other = pair
    wanted = _part(alone, "batch") | _part(alone, "draws") | _part(alone, "levels")
    assert {"draws/t", "draws/eps", "draws/dropped"} <= set(wanted)
    if "batch/tokens" in wanted:
        assert {"batch/image", "levels/log_normal cosine", "levels/mode edm", "levels/uniform flow"} <= set(wanted)
    else:
        assert {"batch/features", "batch/feature_mask"} <= set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(other[name], value, err_msg=name)
    assert 0 < wanted["draws/dropped"].sum() < layouts.VALUES["train.batch_size"]


def test_the_loss_agrees(pair):
    alone, other = pair
    np.testing.assert_allclose(other["metrics/loss"], alone["metrics/loss"], rtol=1e-6)


@pytest.mark.parametrize("what", ["gradients", "params", "ema", "averages"])
def test_gradients_and_what_plain_descent_makes_of_them_agree_leaf_by_leaf(what, pair):
    alone, other = pair
    norm = _global_norm(_part(alone, "gradients"))
    np.testing.assert_allclose(other["metrics/grad_norm"], norm, rtol=1e-5)
    wanted = _part(alone, what)
    assert len(wanted) > 20
    for name, leaf in wanted.items():
        assert np.linalg.norm((other[name].astype(np.float64) - leaf).ravel()) <= 1e-5 * norm, name


def test_every_parameter_has_a_gradient_and_goes_down_it(alone):
    # Or the comparison above would compare nothing.
    norm = _global_norm(_part(alone, "gradients"))
    for name, leaf in _part(alone, "gradients").items():
        assert np.linalg.norm(leaf) > 1e-4 * norm, name
    before = {} if "batch/image" in alone else layouts.MMDIT
    moved = alone["params/patch_in/kernel"] - np.asarray(small.params(small.denoiser(before))["patch_in"]["kernel"])
    np.testing.assert_allclose(moved, -0.1 * alone["gradients/patch_in/kernel"], atol=1e-6)


@pytest.mark.gate(name=layouts.GATE)
@pytest.mark.parametrize("name", layouts.POISONED)
def test_a_number_that_is_not_finite_on_one_device_makes_all_skip_the_step(name, written):
    poisoned = dict(np.load(written / f"poisoned {name}.npz"))
    before, after = (_part(poisoned, part) for part in ("before", "after"))
    assert len(before) > 80
    for key, leaf in before.items():
        np.testing.assert_array_equal(after[key.replace("before", "after", 1)], leaf, err_msg=key)
    assert np.isnan(poisoned["metrics/loss"])
    assert [int(skipped) for skipped in _part(poisoned, "skipped").values()] == [1] * 8


def test_parameters_average_and_moments_are_really_split(written):
    shards = ast.literal_eval((written / "shards.txt").read_text())
    split = {name for name, whole, part in shards if np.prod(part) * 8 == np.prod(whole)}
    for prefix in ("params/", "ema/", "averages/0.2/", "optimizer/1/0/mu/", "optimizer/1/0/nu/"):
        for leaf in ("blocks/attention/query/kernel", "text/embedding/embedding", "patch_in/kernel"):
            assert prefix + leaf in split
    share = sum(np.prod(part) for _, _, part in shards) / sum(np.prod(whole) for _, whole, _ in shards)
    assert share < 0.16


def test_what_eight_devices_saved_one_device_restores(written):
    network = small.denoiser(layouts.VALUES)
    one = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
    wanted = state_lib.abstract(network, optim.make(small.config(layouts.VALUES), network.described), one, (0.2,))
    items = {"params": wanted.params, "ema": wanted.ema, "optimizer": wanted.optimizer, "averages": wanted.averages}
    with Checkpoints(Workdir(written).checkpoints) as checkpoints:
        restored = trees.named_leaves(checkpoints.arrays(1, items))
    saved = np.load(written / "saved.npz")
    assert set(restored) == set(saved)
    for name, leaf in restored.items():
        np.testing.assert_array_equal(leaf, saved[name], err_msg=name)
        assert leaf.sharding.device_set == {jax.devices()[0]}
