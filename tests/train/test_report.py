"""What a run says of itself."""

import json
import math

import jax.numpy as jnp
import pytest

from dfjax.train import report


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_scalar_is_a_line_of_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = report.JsonLines(path)
    writer.write_scalars(10, {"loss": jnp.float32(0.5), "lost": math.nan, "far": -math.inf})
    (line,) = _lines(path)
    assert line.pop("time") > 0
    assert line == {"step": 10, "loss": 0.5, "lost": "nan", "far": "-inf"}
    writer.close()
    report.JsonLines(path).write_scalars(20, {"loss": 1})
    assert [line["step"] for line in _lines(path)] == [10, 20]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    report.forget_after(path, 5)
    assert not path.exists()
    path.write_text('{"step": 5}\n{"step": 10}\n{"step": 15}\n[]\n{"step": 1')
    report.forget_after(path, 10)
    assert _lines(path) == [{"step": 5}, {"step": 10}]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_progress_gives_means_since_the_last_line():
    progress = report.Progress(100, 8, seconds_before=60.0)
    # Of a skipped step, what is finite counts.
    progress.note([{"loss": loss, "param_norm": 2.0} for loss in (1.0, 2.0, 6.0, math.nan)])
    first = progress.scalars(4)
    assert first["train/loss"] == pytest.approx(3.0)
    assert first["train/images_seen"] == 32
    assert first["train/images_per_second"] == pytest.approx(8 / first["train/step_seconds"])
    progress.note([{"loss": 5.0}])
    assert progress.scalars(5)["train/loss"] == 5.0
    assert progress.seconds >= 60.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0s"), (12, "12s"), (200, "3m20s"), (3725, "1h02m"), (59.6, "1m00s")]
)
def test_time_is_told_in_words(seconds, words):
    assert report.time_words(seconds) == words


def test_a_bad_record_is_listed_once_over_all_resumes(tmp_path):
    path = tmp_path / "bad_records.jsonl"
    ledger = report.Ledger(path)
    ledger.add([("train[3]", "no picture"), ("train[3]", "no picture")])
    ledger.add([])
    path.open("a").write('{"id": "tra')  # cut by a kill
    again = report.Ledger(path)
    assert len(again) == 1
    again.add([("train[3]", "no picture"), ("train[9]", "no caption")])
    assert len(again) == len(report.Ledger(path)) == 2
    assert path.read_text().count("train[3]") == 1
