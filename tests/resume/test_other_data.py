"""A run goes on with the records that it began with, or not at all."""

import shutil

import pytest

from tests import command
from tests.data import tiny

OVERRIDES = ("data.validation_split=", "train.num_steps=4", "train.checkpoint_every_steps=2")


@pytest.mark.long
def test_a_data_set_of_other_records_is_refused_with_what_to_do(tmp_path, monkeypatch):
    tiny.TinyLabelled(data_dir=str(tmp_path / "data")).download_and_prepare()
    monkeypatch.setattr(tiny.TinyLabelled, "COUNT", 20)
    tiny.TinyLabelled(data_dir=str(tmp_path / "other")).download_and_prepare()
    first = command.dfjax(*command.train(tmp_path / "run", str(tmp_path / "data"), *OVERRIDES))
    assert first.returncode == 0, first.stderr[-2000:]
    # As after a kill.
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_4")
    before = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    again = command.dfjax(*command.train(tmp_path / "run", str(tmp_path / "other"), *OVERRIDES))
    assert again.returncode == 1
    assert "was trained on other data" in again.stderr
    assert "records: 23 -> 20" in again.stderr
    assert "Traceback" not in again.stderr
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == before
