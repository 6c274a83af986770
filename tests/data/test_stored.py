"""Reads that the file system fails are tried again; records that are damaged are not."""

import os

import pytest

from dfjax import config
from dfjax.data import sources
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import read
from dfjax.data.stored import Stored
from tests.data import tiny


def _close_files(folder) -> int:
    """Take the files of a folder from under whoever reads them; how many were open."""
    numbers = [number for number in os.listdir("/proc/self/fd") if _target(number).startswith(str(folder))]
    for number in numbers:
        os.close(int(number))
    return len(numbers)


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


class Moody:
    """Fails ``left`` times in all, over all copies."""

    def __init__(self, error: Exception, left: int):
        self.error, self.left = error, [left]

    def __deepcopy__(self, memo):
        return self

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if self.left[0]:
            self.left[0] -= 1
            raise self.error
        return index


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_real_reader_recovers_and_the_record_is_not_called_bad(tmp_path, caplog):
    tiny.TinyLabelled(data_dir=str(tmp_path)).download_and_prepare()
    source = sources.open_source(config.Data(name="tiny_labelled", dir=str(tmp_path)), "train")
    wanted = source[3]
    assert _close_files(tmp_path)
    found, bad = read(source, 3, lambda record: record)
    assert (found, bad) == (wanted, [])
    assert "Bad file descriptor; the next try comes in 1 s" in caplog.text


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), RuntimeError("pread() failed: Stale file handle; reading F; at byte 3")]
)
def test_storage_that_fails_for_good_ends_in_words(error):
    assert Stored(Moody(error, 2), (0, 0))[4] == 4
    with pytest.raises(
        DataError, match=r"record 4 could not be read at 3 tries: .*(Input|Stale).*not the record that fails"
    ) as got:
        Stored(Moody(error, 3), (0, 0))[4]
    assert not isinstance(got.value, BadRecord)


def test_a_damaged_record_is_not_read_again():
    source = Moody(RuntimeError("checksum mismatch"), 1)
    with pytest.raises(RuntimeError, match="checksum"):
        Stored(source)[0]
    assert Stored(source)[0] == 0
