"""Files of PyTorch's, made without it: what is in them, and what of them is refused. Attacks are in tests/security."""

import numpy as np
import pytest

from dfjax.weights import torch_files
from tests.weights import torch_bytes
from tests.weights.torch_bytes import NUMBERS, Call, Name, new, old, tensor

BOTH = pytest.mark.parametrize("write", [new, old])


@pytest.fixture
def read(tmp_path):
    def read(data: bytes):
        (tmp_path / "file").write_bytes(data)
        return torch_files.read(tmp_path / "file")

    return read


@BOTH
def test_a_matrix_is_what_it_was(write, read):
    (found,) = read(torch_bytes.good(write)).items()
    assert found[0] == "weight"
    assert found[1].dtype == np.float32
    np.testing.assert_array_equal(found[1], NUMBERS.reshape(3, 4))


@BOTH
def test_views_of_one_storage_are_each_read_at_their_place(write, read):
    said = {
        "turned": tensor("0", 12, (4, 3), (1, 4)),
        "column": tensor("0", 12, (3,), (4,), offset=1),
        "one": tensor("0", 12, (), (), offset=7),
        "none": tensor("0", 12, (0, 5), (5, 1)),
    }
    found = read(write(said, {"0": NUMBERS}))
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(found["column"], [1, 5, 9])
    np.testing.assert_array_equal(found["one"], 7)
    assert found["none"].shape == (0, 5)


@BOTH
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "f8"),
        ("HalfStorage", "f2"),
        ("LongStorage", "i8"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
    ],
)
def test_numbers_keep_their_type(kind, dtype, write, read):
    wanted = np.array([1, 0, 1], dtype)
    found = read(write({"x": tensor("0", 3, (3,), (1,), kind=kind)}, {"0": wanted}))["x"]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@BOTH
def test_bfloat16_becomes_float32(write, read):
    wanted = np.array([1.0, -2.5, 3e38, 0.0078125], np.float32)
    brief = (wanted.view(np.uint32) >> 16).astype(np.uint16)
    found = read(write({"x": tensor("0", 4, (4,), (1,), kind="BFloat16Storage")}, {"0": brief}))["x"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2**-7)


@BOTH
def test_weights_are_found_among_other_things(write, read):
    said = {
        "state_dict": {"weight": tensor("1", 2, (2,), (1,))},
        "optimizer": [{0: tensor("0", 12, (12,), (1,))}],
        "epoch": 3,
    }
    found = read(write(said, {"0": NUMBERS, "1": NUMBERS[:2]}))
    assert list(found) == ["weight"]
    np.testing.assert_array_equal(found["weight"], [0, 1])


def test_an_ordered_dict_and_a_parameter_are_read(read):
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (tensor("0", 12, (12,), (1,)), True, {}))
    said = Call(Name("collections", "OrderedDict"), ([["weight", parameter]],))
    np.testing.assert_array_equal(read(new(said, {"0": NUMBERS}))["weight"], NUMBERS)


@BOTH
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([1, 2], "a list in it, and no dict of tensors"),
        ({"epoch": 3, "rate": 1}, r"no tensors in it, but \['epoch', 'rate'\]"),
        ({"x": Call(Name("numpy", "zeros"), (3,))}, "would call numpy.zeros, which has no place among weights"),
        ({"x": tensor("0", 12, (12,), (1,), kind="QInt8Storage")}, "type torch.QInt8Storage is not read"),
        ({"x": tensor("0", 12, (12,), (1,), view=(("1", 0, 3),))}, "type torch.FloatStorage is not read"),
    ],
)
def test_what_is_no_dict_of_tensors_is_named(said, words, write, read):
    with pytest.raises(ValueError, match=words):
        read(write(said, {"0": NUMBERS}))


def test_big_endian_and_unknown_versions_are_refused(read):
    said = {"weight": tensor("0", 12, (12,), (1,))}
    with pytest.raises(ValueError, match="big-endian"):
        read(old(said, {"0": NUMBERS}, little=False))
    with pytest.raises(ValueError, match="version that is not known"):
        read(old(said, {"0": NUMBERS}, version=1002))


def test_a_torchscript_program_is_told_from_weights(read, tmp_path):
    import zipfile

    path = tmp_path / "script"
    path.write_bytes(torch_bytes.good())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(ValueError, match="TorchScript program; save its `state_dict"):
        read(path.read_bytes())
