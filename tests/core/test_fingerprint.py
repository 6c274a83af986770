"""Arrays on disk: what was given comes back, whatever its memory looks like, and a hash tells it from all else."""

import logging

import numpy as np
import pytest

from dfjax.core import fingerprint

PLAIN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "array",
    [PLAIN, PLAIN.T, PLAIN[:, ::2, ::-1], np.asfortranarray(PLAIN), np.float64(3), np.zeros((0, 3)), np.array([True])],
    ids=["plain", "transposed", "strided", "fortran", "scalar", "empty", "bool"],
)
def test_an_array_comes_back_as_it_was(array, tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    fingerprint.save(path, {"x": np.asarray(array)}, {"of": "a test"})
    arrays, said = fingerprint.load(path)
    assert (arrays["x"].shape, arrays["x"].dtype, said) == (array.shape, array.dtype, {"of": "a test"})
    np.testing.assert_array_equal(arrays["x"], array)
    assert fingerprint.of_arrays(arrays) == fingerprint.of_arrays({"x": np.asarray(array)})
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"no arrays"])
def test_what_is_damaged_is_a_value_error(damage, tmp_path):
    path = tmp_path / "x.safetensors"
    fingerprint.save(path, {"x": PLAIN})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r".+"):
        fingerprint.load(path)


def test_where_nothing_can_be_kept_there_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        fingerprint.keep(tmp_path / "file" / "x.safetensors", {"x": PLAIN}, "the numbers")
    assert "the numbers will have to be made again, since nothing can be kept" in caplog.text


def test_a_digest_tells_names_types_shapes_and_numbers_apart_and_not_their_order():
    a, b = np.arange(6, dtype=np.float32), np.ones(2, np.float32)
    variants = [
        {"a": a, "b": b},
        {"a": a, "c": b},
        {"a": a.reshape(2, 3), "b": b},
        {"a": a.view(np.int32), "b": b},
        {"a": a + 1, "b": b},
        {"a": a},
    ]
    assert len({fingerprint.of_arrays(each) for each in variants}) == len(variants)
    assert fingerprint.of_arrays({"b": b, "a": a}) == fingerprint.of_arrays(variants[0])
    turned = np.arange(6, dtype=np.float32).reshape(3, 2).T
    assert fingerprint.of_arrays({"a": turned}) == fingerprint.of_arrays({"a": turned.copy()})
