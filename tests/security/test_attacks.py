"""Attacks, run for real: each would leave a mark if it worked, and controls show that without dfjax's care it does."""

import importlib
import json
import os
import pathlib
import pickle
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from dfjax import config as config_lib
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.data import decoding, inspection, sources
from dfjax.data.errors import BadRecord, DataError
from dfjax.inputs import tokenizer as tokenizer_lib
from tests.checkpoint.conftest import arrays, save, shapes
from tests.data import kinds, tiny

BAIT = "dfjax_bait"
IMAGE = "tensorflow_datasets.core.features.image_feature.Image"


@pytest.fixture
def data(tmp_path) -> config_lib.Data:
    tiny.TinyLabelled(data_dir=str(tmp_path / "data")).download_and_prepare()
    return config_lib.Data(name="tiny_labelled", dir=str(tmp_path / "data"), resolution=8)


@pytest.fixture
def bait(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported; says whether it was."""
    (tmp_path / "modules").mkdir()
    mark = tmp_path / "imported"
    (tmp_path / "modules" / f"{BAIT}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, BAIT, raising=False)
    return mark.exists


def _file(data: config_lib.Data, name: str) -> pathlib.Path:
    return pathlib.Path(data.dir) / "tiny_labelled" / "1.0.0" / name


def _legacy(described):
    return {"type": f"{BAIT}.Feature", "content": {}}


def _new(described):
    return described | {"pythonClassName": f"{BAIT}.Feature"}


def _snake(described):
    described.pop("pythonClassName")
    return described | {"python_class_name": f"{BAIT}.Feature"}


def _nested(described):
    described["featuresDict"]["features"]["label"]["pythonClassName"] = f"{BAIT}.Feature"
    return described


def _in_json_in_json(described):
    inner = json.dumps({"feature": {"type": f"{BAIT}.Feature", "content": {}}, "length": None})
    described["featuresDict"]["features"]["more"] = {
        "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
        "jsonFeature": {"json": inner},
    }
    return described


@pytest.mark.parametrize("attack", [_legacy, _new, _snake, _nested, _in_json_in_json], ids=lambda f: f.__name__[1:])
def test_a_data_set_cannot_have_a_module_imported(attack, data, bait):
    file = _file(data, "features.json")
    file.write_text(json.dumps(attack(json.loads(file.read_text()))))
    with pytest.raises(DataError, match="prepare"):
        sources.open_source(data, "train")
    assert not bait()
    with pytest.raises(Exception, match=r".*"):
        tfds.builder_from_directory(file.parent)
    assert bait(), "the control: TFDS by itself imports it"


@pytest.mark.parametrize("kind", ["video_feature.Video", "audio_feature.Audio", "dataset_feature.Dataset"])
def test_what_tfds_would_decode_with_other_programs_is_not_opened(kind, data):
    file = _file(data, "features.json")
    described = json.loads(file.read_text())
    described["featuresDict"]["features"]["more"] = {"pythonClassName": f"tensorflow_datasets.core.features.{kind}"}
    file.write_text(json.dumps(described))
    with pytest.raises(DataError, match=f"{kind}.*not admitted"):
        sources.open_source(data, "train")


@pytest.mark.parametrize("template", ["../../../stolen-{SHARD_X_OF_Y}", "/etc/passwd{SHARD_X_OF_Y}"])
def test_a_data_set_cannot_name_files_outside_of_its_folder(template, data):
    file = _file(data, "dataset_info.json")
    described = json.loads(file.read_text())
    described["splits"][0]["filepathTemplate"] = template
    file.write_text(json.dumps(described))
    with pytest.raises(DataError, match=r"names the file .*not in that folder|cannot be read"):
        sources.open_source(data, "train")


def test_a_feature_cannot_be_called_by_a_path(data):
    file = _file(data, "features.json")
    described = json.loads(file.read_text())
    features = described["featuresDict"]["features"]
    features["../../../stolen"] = features.pop("label")
    file.write_text(json.dumps(described))
    with pytest.raises(DataError, match="may not be a path"):
        sources.open_source(data, "train")


@pytest.mark.parametrize(
    "name", ["../tiny_labelled", "tiny_labelled/..", "x/../../y", "/etc", "tiny_labelled:../1.0.0"]
)
def test_a_data_sets_name_is_no_path(name, data):
    with pytest.raises(DataError, match=r"data\.name must read|comes in several configs|is not in"):
        sources.open_source(config_lib.Data(name=name, dir=data.dir), "train")


def test_labels_that_are_paths_are_captions_and_nothing_else(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _file(data, "label.labels.txt").write_text("../../../etc/passwd\n/tmp/x\n~/.ssh/id\n")
    before = set(tmp_path.rglob("*"))
    inspection.run(
        config_lib.Config(data=config_lib.Data(name=data.name, dir=data.dir, validation_split="")), "inspect"
    )
    assert "../../../etc/passwd" in capsys.readouterr().out
    assert set(tmp_path.rglob("*")) == before


def test_no_picture_starts_ghostscript(tmp_path):
    """EPS is a program: Pillow hands it to ``gs``."""
    mark = tmp_path / "ran"
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {mark}\n")
    gs.chmod(0o755)
    (tmp_path / "x.eps").write_bytes(kinds.damaged("eps"))
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=120, capture_output=True)

    run("from dfjax.data import decoding; decoding.decode(open('x.eps', 'rb').read(), 8)")
    assert not mark.exists()
    run("from PIL import Image; Image.open('x.eps').load()")
    assert mark.exists(), "the control: Pillow by itself starts it"


def test_a_pickle_is_run_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "ran"
    attack = pickle.dumps(kinds.Attack(str(mark)))
    with pytest.raises(BadRecord):
        decoding.decode(attack, 8)
    with pytest.raises(config_lib.ConfigError):
        config_lib.from_json(attack.decode("latin-1"))
    with pytest.raises(tokenizer_lib.TokenizerError):
        tokenizer_lib.Tokenizer(attack, 8)
    room = Workdir(tmp_path / "run")
    save(room, [10])
    for path in (room.checkpoints / "step_10").rglob("*"):
        if path.is_file():
            path.write_bytes(attack)
    with Checkpoints(room.checkpoints) as checkpoints:
        for read in (checkpoints.meta, checkpoints.config, checkpoints.tokenizer):
            with pytest.raises(CheckpointError):
                read(10)
        with pytest.raises(CheckpointError):
            checkpoints.arrays(10, shapes(arrays(0)))
    assert not mark.exists()
    pickle.loads(attack)
    assert mark.exists(), "the control: it does run"


def test_a_config_out_of_a_file_names_no_code(bait):
    for name in (f"{BAIT}.Config", f"{BAIT}:get_config", f"__import__('{BAIT}')"):
        for key in ("!!python/object", "py/object", "_target_", "__class__", "data"):
            with pytest.raises(config_lib.ConfigError):
                config_lib.from_json(json.dumps({key: name}))
    assert not bait()
    importlib.import_module(BAIT)
    assert bait(), "the control: it can be imported"
