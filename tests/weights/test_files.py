"""Reading weights, and keeping as safetensors what was read of PyTorch's files."""

import os
import stat

import numpy as np
import pytest

from dfjax.weights import files as weights
from dfjax.weights import torch_files
from tests.weights import torch_bytes

safetensors = pytest.importorskip("safetensors.numpy", reason="weights need safetensors: pip install 'dfjax[eval]'")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of weights in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dfjax" / "weights"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(torch_bytes.good())
    return path


@pytest.fixture
def converted(monkeypatch):
    """How often a file of PyTorch's was read."""
    read, paths = torch_files.read, []
    monkeypatch.setattr(torch_files, "read", lambda path: paths.append(path) or read(path))
    return paths


def _right(found):
    assert list(found) == ["weight"]
    np.testing.assert_array_equal(found["weight"], torch_bytes.NUMBERS.reshape(3, 4))
    return True


def test_a_file_of_pytorchs_is_converted_once(file, cache, converted):
    assert all(_right(weights.load("net", file)) for _ in range(3))
    assert len(converted) == 1
    (kept,) = cache.iterdir()
    assert kept.name.startswith("net-")
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_another_file_of_the_same_name_is_converted_anew(file, cache, converted):
    weights.load("net", file)
    said = {"other": torch_bytes.tensor("0", 12, (12,), (1,))}
    file.write_bytes(torch_bytes.new(said, {"0": torch_bytes.NUMBERS}))
    assert list(weights.load("net", file)) == ["other"]
    assert len(converted) == len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "exchanged"])
def test_what_was_damaged_in_the_cache_is_made_anew(damage, file, cache, converted, caplog):
    weights.load("net", file)
    (kept,) = cache.iterdir()
    data = kept.read_bytes()
    other = safetensors.save({"weight": np.zeros((3, 4), np.float32)})
    kept.write_bytes({"flipped": data[:-1] + b"\1", "cut": data[:-3], "empty": b"", "exchanged": other}[damage])
    assert _right(weights.load("net", file))
    assert "is made anew" in caplog.text
    assert _right(weights.load("net", file))
    assert len(converted) == 2


def test_where_the_cache_cannot_be_written_weights_are_read_all_the_same(file, cache, caplog, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    assert _right(weights.load("net", file))
    assert "nothing can be kept" in caplog.text
    assert list(cache.iterdir()) == []


def test_a_cache_that_is_a_file_is_not_used(file, cache, caplog):
    cache.parent.mkdir(parents=True)
    cache.touch()
    assert _right(weights.load("net", file))
    assert "no cache of weights" in caplog.text


def test_a_cache_that_others_may_write_is_not_used(file, cache, converted, caplog):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert all(_right(weights.load("net", file)) for _ in range(2))
    assert len(converted) == 2
    assert f"others may write to {cache}" in caplog.text
    assert list(cache.iterdir()) == []


def test_safetensors_are_read_as_they_are_and_not_copied(tmp_path, cache):
    path = tmp_path / "net.bin"
    wanted = {"a": np.arange(3, dtype=np.float32), "b": np.array([[1, 2]], np.int64)}
    path.write_bytes(safetensors.save(wanted))
    found = weights.load("net", path)
    assert {name: value.dtype for name, value in found.items()} == {"a": np.float32, "b": np.int64}
    np.testing.assert_array_equal(found["b"], wanted["b"])
    assert not cache.exists()


def test_a_file_that_is_missing_or_none_is_named(tmp_path, cache):
    with pytest.raises(weights.WeightsError, match=f"no file {tmp_path}/net.pth"):
        weights.load("net", tmp_path / "net.pth")
    with pytest.raises(weights.WeightsError, match=f"{tmp_path} cannot be read"):
        weights.load("net", tmp_path)
