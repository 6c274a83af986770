"""A work directory says what it is, and what to do."""

import shutil

import pytest

from dfjax.checkpoint.store import ITEMS, CheckpointError
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import storage


def _found(room, words):
    found, sentence = room.inspect()
    assert words in sentence
    assert str(room.path) in sentence
    return found


def test_an_empty_or_missing_folder_is_new(tmp_path):
    assert _found(Workdir(tmp_path), "is new") is Found.NEW
    assert _found(Workdir(tmp_path / "missing"), "is new") is Found.NEW


def test_a_run_with_checkpoints_goes_on(room):
    assert _found(room, "saved at step 20") is Found.RESUMABLE
    assert room.require_checkpoint() == 20


def test_a_run_that_saved_nothing_starts_again(tmp_path):
    room = Workdir(tmp_path)
    room.config.write_text("{}")
    assert _found(room, "it starts again") is Found.STARTED
    room.checkpoints.mkdir()
    assert _found(room, "it starts again") is Found.STARTED


def test_what_a_kill_left_of_its_first_files_is_nothing(tmp_path):
    room = Workdir(tmp_path)
    for path in (room.config, room.tokenizer):
        storage.part(path).write_bytes(b"{")
    assert _found(room, "is new") is Found.NEW


@pytest.mark.parametrize("name", ["step_²", "step_-1", "step_1e3", "step_", "step_99999999999999"])
def test_folders_of_other_names_are_no_checkpoints(name, room):
    (room.checkpoints / name).mkdir()
    assert room.steps() == [10, 20]


@pytest.mark.parametrize("item", [*ITEMS, "_CHECKPOINT_METADATA"])
def test_a_checkpoint_that_lacks_a_part_is_damaged(item, room):
    victim = room.checkpoints / "step_20" / item
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    assert _found(room, f"step_20 is damaged: {item} missing; delete that folder") is Found.DAMAGED
    with pytest.raises(CheckpointError, match="is damaged"):
        room.require_checkpoint()
    shutil.rmtree(room.checkpoints / "step_20")
    assert room.require_checkpoint() == 10


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    assert _found(Workdir(tmp_path), "choose another --workdir") is Found.FOREIGN
    file = tmp_path / "thesis.tex"
    assert _found(Workdir(file), "choose another --workdir") is Found.FOREIGN


def test_where_there_is_no_checkpoint_the_command_that_makes_one_is_named(tmp_path):
    missing = Workdir(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="does not exist: `dfjax train --workdir="):
        missing.require_checkpoint()
    with pytest.raises(CheckpointError, match=r"no checkpoint \(nothing yet\): `dfjax train"):
        Workdir(tmp_path).require_checkpoint()


def test_a_folder_with_a_config_of_another_program_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "mine"}')
    (tmp_path / "samples").mkdir()
    assert _found(Workdir(tmp_path), "choose another --workdir") is Found.FOREIGN
