"""Who is at work in a run, by the signs of life alone."""

import dataclasses
import json
import os
import subprocess
import sys

from dfjax.runtime import heartbeats


def _rewrite(folder, rank, age_seconds=0.0, **changes):
    file = heartbeats.path(folder, rank)
    said = dataclasses.asdict(heartbeats.read(file)) | changes
    file.write_text(json.dumps(said))
    then = file.stat().st_mtime - age_seconds
    os.utime(file, (then, then))


def test_who_lives_here_is_at_work_and_who_has_ended_is_not(tmp_path):
    assert heartbeats.at_work(tmp_path / "none") == []
    heartbeats.Heart(tmp_path, 0).beat()
    heartbeats.Heart(tmp_path, 1).beat(42, "told to end")
    (tmp_path / "process_2.json").write_text("{")
    assert [beat.rank for beat in heartbeats.at_work(tmp_path)] == [0]
    # However long it has been silent: it is there.
    _rewrite(tmp_path, 0, age_seconds=3600)
    assert [beat.rank for beat in heartbeats.at_work(tmp_path)] == [0]


def test_who_was_killed_here_is_gone_though_its_file_is_fresh(tmp_path):
    program = (
        "import pathlib, sys; from dfjax.runtime import heartbeats; "
        "heartbeats.Heart(pathlib.Path(sys.argv[1]), 0).beat()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert heartbeats.read(heartbeats.path(tmp_path, 0)).status is None
    assert heartbeats.at_work(tmp_path) == []


def test_who_is_elsewhere_is_at_work_as_long_as_it_writes(tmp_path):
    heartbeats.Heart(tmp_path, 3).beat()
    _rewrite(tmp_path, 3, kernel="another machine's")
    assert [beat.rank for beat in heartbeats.at_work(tmp_path)] == [3]
    _rewrite(tmp_path, 3, age_seconds=600)
    assert heartbeats.at_work(tmp_path) == []
