"""sweep.jsonl: written once and whole, the same after that, and anything else refused in words."""

import dataclasses
import json

import pytest

from dfjax import config as config_lib
from dfjax.launching.errors import JobError
from dfjax.sweeps import frozen
from tests.sweeps import made_up

WEIRD = 'it\'s "$HOME" `x`\n\\ ü'


def test_a_sweep_is_read_as_it_was_frozen(tmp_path):
    lines = [{"model.width": 64, "sample.prompts": ("a, b", WEIRD)}, {"sample.negative_prompt": WEIRD}]
    made = made_up.sweep(tmp_path, *lines)
    found = frozen.read(made.folder)
    assert found == made
    assert [line.overrides for line in found.lines] == lines
    header, *rows = [json.loads(row) for row in made.path.read_text().splitlines()]
    assert header["config"] == "recipe.py"
    assert header["base"]["train.num_steps"] == made_up.STEPS
    assert [row["line"] for row in rows] == [1, 2]


def test_the_same_again_changes_nothing(tmp_path):
    made = made_up.sweep(tmp_path, {"model.width": 64})
    before = made.path.stat()
    assert made_up.sweep(tmp_path, {"model.width": 64}) == made
    after = made.path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"model.width": 64}, {"model.width": 48}], "1 lines -> 2"),
        ([{"model.width": 48}], "line 1: model.width=64 -> model.width=48"),
        ([{"model.width": 64, "train.num_steps": 30}], "train.num_steps=30"),
    ],
)
def test_another_sweep_is_refused_with_what_differs(lines, words, tmp_path):
    made = made_up.sweep(tmp_path, {"model.width": 64})
    before = made.path.read_bytes()
    with pytest.raises(JobError) as error:
        made_up.sweep(tmp_path, *lines)
    assert words in str(error.value)
    assert "choose another --workdir" in str(error.value)
    assert made.path.read_bytes() == before


def test_another_config_for_all_is_refused(tmp_path):
    made = made_up.sweep(tmp_path, {"model.width": 64})
    values = made.header.base.to_dict()
    values["train"]["seed"] = 9
    other = dataclasses.replace(made.header, base=config_lib.resolve(values))
    with pytest.raises(JobError, match=r"train\.seed: 0 -> 9"):
        frozen.freeze(made.folder, other, made.lines)
    with pytest.raises(JobError, match="started without --search"):
        frozen.freeze(made.folder, dataclasses.replace(made.header, is_search=True), [])


def test_what_a_run_may_go_on_with_may_change_and_so_may_the_place_of_the_recipe(tmp_path):
    made = made_up.sweep(tmp_path, {"model.width": 64})
    values = made.header.base.to_dict()
    values["data"]["dir"] = "/elsewhere"
    words = ("--config.data.dir=/elsewhere",)
    moved = frozen.Header("elsewhere.py", words, config_lib.resolve(values))
    assert frozen.freeze(made.folder, moved, made.lines).lines == made.lines
    assert frozen.read(made.folder).header == moved


def test_no_sweep_begins_among_other_files(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "notes.txt").touch()
    with pytest.raises(JobError, match=r"not empty and has no sweep\.jsonl"):
        made_up.sweep(tmp_path, {"model.width": 64})
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "",
        lambda text: text.replace('"line": 1', '"line": 7'),
        lambda text: text.replace('"name": "', '"name": "../'),
        lambda text: text.replace("model.width", "no.key"),
        lambda text: "[]\n" + text,
        lambda text: text.replace('{"model.width": 64}', "3"),
    ],
)
def test_a_damaged_file_is_told_in_a_line(damage, tmp_path):
    made = made_up.sweep(tmp_path, {"model.width": 64}, {"model.width": 48})
    made.path.write_text(damage(made.path.read_text()))
    with pytest.raises(JobError) as error:
        frozen.read(made.folder)
    assert "is damaged" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_sweep_and_a_line_that_is_none(tmp_path):
    with pytest.raises(JobError, match="is no sweep: `dfjax sweep"):
        frozen.read(tmp_path)
    with pytest.raises(JobError, match="has no line 2: it has lines 1 to 1"):
        made_up.sweep(tmp_path, {"model.width": 64}).line(2)
