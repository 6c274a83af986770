"""What a run says of itself."""

import errno
import json
import logging
import math

import jax.numpy as jnp
import pytest

from dfjax.training import report


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_scalar_is_a_line_of_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = report.JsonLines(path, 0)
    writer.write_scalars(10, {"loss": jnp.float32(0.5), "lost": math.nan, "far": -math.inf})
    (line,) = _lines(path)
    assert line.pop("time") > 0
    assert line == {"step": 10, "loss": 0.5, "lost": "nan", "far": "-inf"}
    writer.close()
    report.JsonLines(path, 0).write_scalars(20, {"loss": 1})
    assert [line["step"] for line in _lines(path)] == [10, 20]


def test_what_is_there_of_the_first_step_is_not_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0, "norm": 2.0}\n{"step": 9, "validation": 1.0}\n')
    writer = report.JsonLines(path, 10)
    for scalars in ({"loss": 1.0}, {"validation": 3.0}):
        writer.write_scalars(10, scalars)
    writer.write_scalars(11, {"loss": 4.0})
    assert [{name: line[name] for name in line if name != "time"} for line in _lines(path)[2:]] == [
        {"step": 10, "validation": 3.0},
        {"step": 11, "loss": 4.0},
    ]


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


def test_the_line_tells_speed_and_memory_where_they_are_known(caplog):
    class Known:
        def scalars(self, step_seconds):
            return {"train/mfu": 0.412, "train/memory_gib": 12.34}

    with caplog.at_level(logging.INFO, "dfjax"):
        for speed in (Known(), None):
            progress = report.Progress(100, 8, 0.0, speed)
            progress.note([{"loss": 0.5}])
            progress.scalars(1)
    known, unknown = (record.getMessage() for record in caplog.records)
    assert known.startswith("step 1/100  loss 0.5000  ")
    assert " images/s  MFU 41.2%  memory 12.3 GiB  left " in known
    assert " images/s  left " in unknown


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0s"), (12, "12s"), (200, "3m20s"), (3725, "1h02m"), (59.6, "1m00s")]
)
def test_time_is_told_in_words(seconds, words):
    assert report.time_words(seconds) == words


def test_summaries_go_on_in_another_file_after_the_storage_failed():
    made = []

    class Writer:
        def __init__(self):
            self.steps = []
            made.append(self)

        def write_scalars(self, step, scalars):
            if step == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            if step == 5:
                raise ValueError("a fault of ours")
            self.steps.append(step)

        def close(self): ...

    writer = report.Summaries(Writer)
    for step in (1, 2, 3, 4):
        writer.write_scalars(step, {"loss": 1.0})
    assert [each.steps for each in made] == [[1], [3, 4]]
    with pytest.raises(ValueError, match="ours"):
        writer.write_scalars(5, {"loss": 1.0})
