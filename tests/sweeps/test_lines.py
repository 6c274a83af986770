"""Lines of a sweep: checked against the schema, one by one, and named by what differs."""

import pytest

from dfjax.config import ConfigError
from dfjax.launching.errors import JobError
from dfjax.sweeps import lines
from tests.sweeps import made_up


def test_lines_are_numbered_and_named_by_what_differs(tmp_path):
    found = made_up.read(
        tmp_path,
        {"optim.learning_rate": 1e-3, "model.width": 64, "train.batch_size": 8},
        {"optim.learning_rate": 0.01, "model.width": 64, "train.batch_size": 8},
        {"optim.learning_rate": 1e-5, "train.batch_size": 8},
    )
    assert [line.number for line in found] == [1, 2, 3]
    assert [line.name for line in found] == [
        "learning_rate=0.001,width=64",
        "learning_rate=0.01,width=64",
        "learning_rate=1e-05",
    ]
    assert found[2].words == ("--config.optim.learning_rate=1e-05", "--config.train.batch_size=8")


def test_keys_of_one_name_in_two_sections_are_told_apart(tmp_path):
    found = made_up.read(tmp_path, {"train.seed": 1, "eval.seed": 2}, {"train.seed": 2, "eval.seed": 1})
    assert [line.name for line in found] == ["train.seed=1,eval.seed=2", "train.seed=2,eval.seed=1"]


def test_names_are_short_safe_and_unique_whatever_the_values_are(tmp_path):
    prompts = ["it's", 'it"s', "../..", "a/b", "$HOME\n", "é" * 500, "A", "a"]
    found = made_up.read(tmp_path, *({"sample.negative_prompt": prompt} for prompt in prompts), {})
    names = [line.name for line in found]
    assert len({name.casefold() for name in names}) == len(prompts) + 1
    assert all(len(name) <= 110 and set(name) <= set(lines_alphabet()) for name in names)
    assert names[-1] == "base"
    assert found[4].words == ("--config.sample.negative_prompt=$HOME\n",)


def lines_alphabet() -> str:
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-=,"


def test_names_do_not_change_from_one_start_to_the_next(tmp_path):
    overrides = [{"sample.negative_prompt": prompt} for prompt in ("x/y", "x:y")]
    first = [line.name for line in made_up.read(tmp_path, *overrides)]
    assert first == ["negative_prompt=x_y-2adc656e", "negative_prompt=x_y-39cbbf8f"]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"optim.learnign_rate": 1.0}, ConfigError, "unknown config key 'optim.learnign_rate'"),
        ({"model.width": "64"}, ConfigError, "line 2 of the sweep (model.width='64'): config key 'model.width' takes"),
        ({"train.batch_size": 0}, ConfigError, "line 2 of the sweep (train.batch_size=0): config key"),
        ({"model.heads": 5}, ConfigError, "'model.heads': width 32 over 5 heads"),
        ({"diffusion.prediction": "eps"}, ConfigError, "line 2 of the sweep (diffusion.prediction='eps')"),
        (["model.width"], JobError, "line 2 of the sweep is a list"),
        ({"train.seed": 7}, JobError, "lines 1 and 2 of the sweep are the same run"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_work_is_named(wrong, error, words, tmp_path):
    with pytest.raises(error) as raised:
        made_up.read(tmp_path, {"train.seed": 7}, wrong)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.status == 2


def test_lines_that_say_the_same_in_other_words_are_the_same(tmp_path):
    with pytest.raises(JobError, match="lines 1 and 3"):
        made_up.read(tmp_path, {"model.width": 32}, {"model.width": 64}, {})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "has no function sweep()"),
        ("def sweep():\n    return []", "yields nothing"),
        ("def sweep():\n    return 3", "'int' object is not iterable"),
        ("def sweep():\n    return 1 / 0", "sweep() raised ("),
        ("def sweep():\n    while True:\n        yield {}", "more than 10,000 lines"),
        ("raise OSError('gone')", "the recipe raised ("),
        ("def sweep(:", "SyntaxError"),
    ],
)
def test_a_recipe_without_a_sweep_that_can_be_run_is_refused_in_a_line(body, words, tmp_path):
    recipe = made_up.write_recipe(tmp_path, body)
    with pytest.raises(JobError) as error:
        lines.read(recipe, made_up.base())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_line_of_the_recipe_that_raised_is_named(tmp_path):
    recipe = made_up.write_recipe(tmp_path, "def sweep():\n    yield {}\n    1 / 0")
    with pytest.raises(JobError, match=r"recipe\.py, line 5\): ZeroDivisionError"):
        lines.read(recipe, made_up.base())
