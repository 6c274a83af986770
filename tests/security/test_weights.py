"""Files of weights that attack: nothing in them runs, reaches outside its storage, or takes more than its size."""

import io
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from dfjax.weights import files as weights
from tests.weights import torch_bytes
from tests.weights.torch_bytes import NUMBERS, Call, Name, Raw, new, old, pickled, says, tensor

BOTH = pytest.mark.parametrize("write", [new, old])


@pytest.fixture
def refused(tmp_path):
    """Reads a file, which must be refused; returns the words."""

    def refused(data: bytes) -> str:
        path = tmp_path / "attack.pth"
        path.write_bytes(data)
        with pytest.raises(weights.WeightsError) as error:
            weights.read(path)
        assert str(path) in str(error.value)
        return str(error.value)

    return refused


def _calls(mark) -> dict[str, bytes]:
    """Instructions by which a pickle has ``os.system`` called: every way that there is."""
    command = f"touch {mark}"
    function, argument = says(Name("os", "system")), says(command)
    text = b"X" + struct.pack("<I", len("os")) + b"os" + b"X" + struct.pack("<I", len("system")) + b"system"
    return {
        "REDUCE": says(Call(Name("os", "system"), (command,))),
        "STACK_GLOBAL": text + b"\x93(" + argument + b"tR",
        "INST": b"(" + argument + b"ios\nsystem\n",
        "OBJ": b"(" + function + argument + b"o",
    }


@BOTH
@pytest.mark.parametrize("way", _calls(""))
def test_no_pickle_runs_a_command(way, write, refused, tmp_path):
    mark = tmp_path / "ran"
    attack = _calls(mark)[way]
    words = refused(write({"weight": Raw(attack)}, {}))
    assert "has no place among weights" in words
    assert not mark.exists()
    pickle.loads(b"\x80\x04" + attack + b".")
    assert mark.exists(), "the control: it does run"


def test_no_class_is_made_and_no_state_set(refused):
    # NEWOBJ; and BUILD, which may set any attribute, of what is a plain dict here.
    assert "NEWOBJ" in refused(new({"x": Raw(says(Name("builtins", "list")) + b")\x81")}, {}))
    path_like = says({"keys": Name("os", "system"), "items": Name("os", "system")})
    assert "no tensors" in refused(new(Raw(says({"x": 1}) + path_like + b"b"), {}))


@BOTH
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((2,), (12,), 0),
        ((3, 4), (5, 1), 0),
        ((1,), (1,), 12),
        ((1000, 1000), (0, 0), 0),  # Fits, and would grow to a million numbers.
        ((2**40,), (0,), 0),
    ],
)
def test_no_tensor_reaches_outside_of_its_storage(shape, strides, offset, write, refused):
    words = refused(write({"x": tensor("0", 12, shape, strides, offset=offset)}, {"0": NUMBERS}))
    assert "does not fit into its storage of 12" in words or "its tensors would fill" in words


@BOTH
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((-1,), (1,), 0),
        ((2,), (-1,), 5),
        ((2,), (1,), -1),
        ((2**70, 0), (1, 1), 0),
        ((2,), (1, 1), 0),
        ((2,) * 99, (0,) * 99, 0),
    ],
)
def test_no_shape_is_impossible(shape, strides, offset, write, refused):
    words = refused(write({"x": tensor("0", 12, shape, strides, offset=offset)}, {"0": NUMBERS}))
    assert "cannot be" in words or "do not fit each other" in words


@BOTH
def test_storages_are_as_long_as_is_said(write, refused):
    for count in (11, 13, 2**40, -1):
        refused(write({"x": tensor("0", count, (3,), (1,))}, {"0": NUMBERS}))
    refused(write({"x": tensor("1", 12, (3,), (1,))}, {"0": NUMBERS}))
    twice = {"x": tensor("0", 12, (3,), (1,)), "y": tensor("0", 6, (3,), (1,), kind="DoubleStorage")}
    assert "told of in two ways" in refused(write(twice, {"0": NUMBERS}))


@BOTH
def test_a_file_that_is_cut_anywhere_is_refused(write, refused):
    whole = torch_bytes.good(write)
    for length in range(0, len(whole), 7):
        refused(whole[:length])


def test_a_bomb_is_not_unpacked(refused):
    large = np.zeros(2**24, np.float32)
    bomb = new({"x": tensor("0", large.size, (large.size,), (1,))}, {"0": large}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < large.nbytes / 500
    tracemalloc.start()
    words = refused(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "compressed" in words
    assert most < 2**22


def test_entries_that_lie_over_each_other_are_refused(refused):
    """The other bomb: a directory that has the same bytes many times."""
    data = bytearray(new({"x": tensor("0", 3000, (3000,), (1,))}, {"0": np.zeros(3000, np.float32)}))
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", data, end + 16)[0]
    last = data.rindex(b"PK\x01\x02")
    more = b"".join(bytes(data[last:end]).replace(b"data/0", b"data/%d" % number) for number in range(1, 9))
    count = struct.unpack_from("<H", data, end + 10)[0] + 8
    closing = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, end - start + len(more), start, 0)
    assert "over each other" in refused(bytes(data[:end]) + more + closing)


@pytest.mark.parametrize(
    "name", ["../stolen", "archive/../../stolen", "/etc/passwd", "archive\\..\\stolen", "other/data"]
)
def test_no_entry_has_a_path_outside(name, refused, tmp_path):
    file = io.BytesIO(torch_bytes.good())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"x")
    before = set(tmp_path.iterdir())
    assert "none of PyTorch's" in refused(file.getvalue())
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"attack.pth"}


def test_a_storage_is_no_path(refused):
    for key in ("../data.pkl", "/etc/passwd", "0/../0"):
        assert "is missing" in refused(new({"x": tensor(key, 12, (12,), (1,))}, {"0": NUMBERS}))


@pytest.mark.parametrize(
    "attack",
    [
        b"r\xff\xff\xff\x7f",  # A memo of 2**31 places.
        b"X\xff\xff\xff\xff",  # A text of 4 GB.
        b"\x8d" + b"\xff" * 7 + b"\x7f",  # A text of 2**63 bytes.
        b"\x8b\xff\xff\xff\x7f1",  # A number of 2 GB.
        says("x") + b"0" * 5,  # An empty stack.
        b"2" * 1000,  # DUP, of nothing.
        b"(" * 1000,
        b"h\x05",  # What was never kept.
        b"u",
        b"R",
        b"Q",
        b"\x85",
    ],
    ids=lambda attack: attack[:6].hex(),
)
def test_no_instruction_takes_memory_or_breaks_the_reader(attack, refused):
    tracemalloc.start()
    refused(new(Raw(b"}" + attack), {}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22


def test_no_key_takes_for_ever_to_hash(refused):
    """A tuple of itself twice, sixty times over: two to the sixtieth steps."""
    nested = says(()) + b"".join(b"q\x00h\x00\x86" for _ in range(60))
    start = time.monotonic()
    refused(new(Raw(b"}" + nested + says(1) + b"s"), {}))
    refused(new({"x": Raw(nested + says((1,)) + b"R")}, {}))
    assert time.monotonic() - start < 5


def test_a_million_instructions_are_too_many(refused, monkeypatch):
    monkeypatch.setattr("dfjax.weights.torch_pickle._MAX_INSTRUCTIONS", 1000)
    assert "more than 1000 instructions" in refused(new(Raw(says({}) + says(1) * 2000), {}))


def test_many_tensors_of_one_storage_do_not_fill_the_memory(refused):
    said = {str(number): tensor("0", 12, (12,), (1,)) for number in range(50)}
    assert "its tensors would fill" in refused(new(said, {"0": NUMBERS}))


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x89PNG\r\n\x1a\n" + bytes(99), pickled({}), bytes(200), np.random.default_rng(0).bytes(500)]
)
def test_what_is_no_file_of_weights_is_refused(data, refused):
    assert "is no file of weights that is read here" in refused(data)
