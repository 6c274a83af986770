"""The ledger of bad records: exact over resumes, and what ends a run."""

import json

import pytest

from dfjax.data.errors import DataError
from dfjax.training import ledger as ledger_lib
from dfjax.training.ledger import Ledger


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_listed_once_with_the_step_that_met_it_first(tmp_path):
    path = tmp_path / "bad_records.jsonl"
    ledger = Ledger(path, 0)
    ledger.share()
    assert not path.exists()
    ledger.note(0, [("test[1]", "no caption")])
    ledger.note(1, [("train[9]", "no picture"), ("train[3]", "no picture")], cut_captions=2)
    ledger.note(2, [("train[3]", "no picture")])
    assert len(ledger) == ledger.cut_captions == 0
    ledger.share()
    ledger.note(3, [("train[9]", "no picture")], cut_captions=1)
    ledger.share()
    assert (len(ledger), ledger.cut_captions) == (3, 3)
    assert [(line["step"], line["id"]) for line in _lines(path)] == [(0, "test[1]"), (1, "train[3]"), (1, "train[9]")]


def test_a_resumed_run_has_the_ledger_of_one_that_was_never_stopped(tmp_path):
    met = {step: [(f"train[{7 * step % 5}]", "no picture")] for step in range(1, 9)}

    def steps(ledger, first, last):
        for step in range(first, last + 1):
            ledger.note(step, met[step])
            ledger.share()

    steps(Ledger(tmp_path / "whole", 0), 1, 8)
    steps(Ledger(tmp_path / "killed", 0), 1, 5)
    (tmp_path / "killed").open("a").write('{"step": 6, "id": "tra')
    steps(Ledger(tmp_path / "killed", 3), 4, 8)
    assert (tmp_path / "killed").read_text() == (tmp_path / "whole").read_text()
    assert len(_lines(tmp_path / "whole")) == 5


def test_too_large_a_share_of_bad_records_ends_the_run_but_not_a_few_early_ones(tmp_path):
    ledger = Ledger(tmp_path / "bad_records.jsonl", 0)
    ledger.note(0, [(f"test[{i}]", "no picture") for i in range(50)])
    few = ledger_lib.LEAST - 1
    ledger.note(1, [(f"train[{i}]", "no caption") for i in range(few)])
    ledger.share()
    ledger.check(0.1, visited=few)
    with pytest.raises(DataError, match=f"{few} of the 1000 records"):
        ledger.check(0.0, visited=1000)
    ledger.note(2, [("train[99]", "no caption")])
    ledger.share()
    ledger.check(0.1, visited=10 * ledger_lib.LEAST)
    ledger.check(1.0, visited=1)
    with pytest.raises(DataError, match=r"16 of the 159 .*0\.1; the first is train\[0\]: no caption.*max_bad_share"):
        ledger.check(0.1, visited=10 * ledger_lib.LEAST - 1)


def test_a_ledger_that_cannot_be_written_is_written_later(tmp_path):
    folder = tmp_path / "away"
    ledger = Ledger(folder / "bad_records.jsonl", 0)
    ledger.note(1, [("train[1]", "no picture")])
    ledger.share()
    folder.mkdir()
    ledger.note(2, [("train[2]", "no picture")])
    ledger.share()
    assert [line["id"] for line in _lines(folder / "bad_records.jsonl")] == ["train[1]", "train[2]"]
