"""What cannot work: one screen of words, the right exit status, and no traceback."""

import pytest

from dfjax import config
from tests import command


def _words(done, status):
    """What a command that failed said: short, on stderr, and no traceback."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 16
    return done.stderr


def test_no_command_shows_the_commands():
    done = command.dfjax()
    assert done.returncode == 2
    for name in ("train", "sample", "data"):
        assert name in done.stdout


def test_an_unknown_command_is_answered_with_the_nearest():
    words = _words(command.dfjax("trian"), 2)
    assert "there is no command 'trian'; did you mean 'train'?" in words


def test_help_lists_every_key_with_type_default_and_meaning():
    done = command.dfjax("train", "--help")
    assert done.returncode == 0
    for key, field in config.FIELDS.items():
        assert f"--config.{key} : {type(field.default).__name__} = {field.default!r}\n" in done.stdout
        assert field.metadata["doc"] in done.stdout
    assert "--workdir" in done.stdout
    assert done.stdout.startswith("dfjax train --config=RECIPE.py --workdir=RUN")


@pytest.mark.gate(3)
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.learnign_rate=1", "unknown config key 'optim.learnign_rate'; did you mean 'optim.learning_rate'?"),
        ("optim.learning_rate=fast", "learning_rate"),
        ("optim.learning_rate", "--config.optim.learning_rate=VALUE"),
        ("sample.sampler=heum", "did you mean 'heun'?"),
        ("model.heads=5", "'model.heads'"),
        ("train.batch_size=0", "'train.batch_size' must be at least 1"),
        ("train.batch_size=1.5", "batch_size"),
    ],
)
def test_a_config_that_cannot_work_is_refused_in_a_line(override, words, tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", "", override))
    said = _words(done, 2)
    assert words in said
    assert said.startswith("dfjax: ")
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_mesh_that_the_devices_do_not_make_is_refused(tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", "", "mesh.fsdp=3"))
    assert "does not make 1 devices" in _words(done, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--workdir=run"], "--config"),
        (["train", f"--config={command.RECIPE}"], "--workdir"),
        (["train", "--config=missing.py", "--workdir=run"], "missing.py"),
        (["train", "--config=missing.py", "--workdir=run", "--config.train.seed=1"], "missing.py"),
        (["train", "--config=.", "--workdir=run"], "recipe"),
        (["train", f"--config={command.RECIPE}", "--workdir=run", "--stpes=3"], "stpes"),
        (["sample", "--workdir=run"], "--prompt"),
        (["sample", "--workdir=run", "--prompt=x", "--steps=0"], "steps"),
        (["data", f"--config={command.RECIPE}", "biuld"], "build or inspect"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_flag_that_is_missing_or_wrong_is_named(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = _words(command.dfjax(*arguments), 2)
    assert words in said
    assert "--help" in said or "dfjax data" in said or "recipe" in said


def test_flags_by_which_no_processes_find_each_other_are_refused(tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", ""), "--process_id=1")
    assert "--process_id need --coordinator=HOST:PORT" in _words(done, 2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("config.optim.learnign_rate = 1.0", "learnign_rate"),
        ("config.optim.learning_rate = 'fast'", "learning_rate"),
        ("config.model.heads = 5", "'model.heads'"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused(line, words, tmp_path):
    recipe = tmp_path / "recipe.py"
    lines = f"    config = config_lib.default()\n    {line}\n    return config\n"
    recipe.write_text(f"from dfjax import config as config_lib\n\n\ndef get_config():\n{lines}")
    for override in ([], ["--config.train.seed=1"]):
        done = command.dfjax("train", f"--config={recipe}", f"--workdir={tmp_path / 'run'}", *override)
        assert words in _words(done, 2)


def test_a_missing_data_set_comes_with_the_way_to_prepare_it(tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", str(tmp_path)))
    assert "data set 'tiny_labelled' is not in" in _words(done, 1)
    assert "prepare it with `tfds build tiny_labelled" in done.stderr
    assert not (tmp_path / "run" / "checkpoints" / "step_0").exists()


def test_a_folder_of_other_things_is_not_trained_in(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    done = command.dfjax(*command.train(tmp_path, str(tmp_path)))
    assert "no run of dfjax: choose another --workdir" in _words(done, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_work_directory_has_nothing_to_sample_from(tmp_path):
    done = command.dfjax("sample", f"--workdir={tmp_path}", "--prompt=x", command.compiled())
    assert "has no checkpoint (nothing yet): `dfjax train" in _words(done, 1)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("def get_config(:\n", "SyntaxError"),
        ("import nothere\n", "No module named 'nothere'"),
        ("x = 1\n", "no function get_config"),
        ("def get_config():\n    return {}\n", "must return config.default()"),
        (
            "from dfjax import config as c\ndef get_config():\n    k = c.default(); k.train.batchsize = 3\n",
            "batch_size",
        ),
    ],
)
def test_a_recipe_that_raises_is_one_line(recipe, words, tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text(recipe)
    assert words in _words(command.dfjax("train", f"--config={file}", f"--workdir={tmp_path / 'run'}"), 2)
    assert not (tmp_path / "run").exists()


def test_words_that_belong_to_no_flag_are_refused(tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", str(tmp_path)), "extra")
    assert "what is 'extra'?" in _words(done, 2)


def test_a_picture_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    wish = ("sample", f"--workdir={tmp_path}", "--prompt=a")
    assert "name it x.png" in _words(command.dfjax(*wish, f"--out={tmp_path / 'x.xyz'}"), 2)
    assert "is a folder" in _words(command.dfjax(*wish, f"--out={tmp_path}"), 2)
    assert "make it first" in _words(command.dfjax(*wish, f"--out={tmp_path / 'missing' / 'x.png'}"), 2)


def test_nothing_is_said_to_a_reader_that_has_gone():
    process = command.start("train", "--help")
    process.stdout.close()
    words = process.stderr.read()
    assert (process.wait(60), words) == (1, "")
