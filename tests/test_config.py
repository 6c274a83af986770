"""The config: what cannot work is refused by name, and a recipe is data."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax import config
from tests import small


def _nested(key, value):
    section, name = key.split(".")
    return {section: {name: value}}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("optim.learnign_rate", "optim.learning_rate"),
        ("train.batchsize", "train.batch_size"),
        ("model.learning_rate", "optim.learning_rate"),  # right name, wrong section
        ("optimizer.beta2", "optim.beta2"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(wrong, right):
    with pytest.raises(config.ConfigError) as error:
        config.resolve(_nested(wrong, 1))
    assert f"unknown config key {wrong!r}; did you mean {right!r}?" in str(error.value)


def test_a_key_where_a_section_should_be_is_named():
    with pytest.raises(
        config.ConfigError, match=r"'learning_rate' is not a section; did you mean 'optim\.learning_rate'"
    ):
        config.resolve({"learning_rate": 1e-3})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("optim.learning_rate", "1e-3", "takes float, not str"),
        ("train.batch_size", 8.0, "takes int, not float"),
        ("train.batch_size", True, "takes int, not bool"),
        ("model.overlap", 1, "takes bool, not int"),
        ("data.name", None, "takes str, not NoneType"),
        ("sample.prompts", "a red apple", "takes tuple, not str"),
        ("sample.prompts", (1,), "takes a tuple of str"),
        ("train.batch_size", 0, "must be at least 1, not 0"),
        ("diffusion.caption_dropout", 1.5, "must be at least 0 and at most 1, not 1.5"),
        ("optim.learning_rate", math.nan, "must be at least 0, not nan"),
        ("diffusion.shift", math.nan, "not nan"),
        ("sample.sampler", "heum", "one of ddpm, ddim, .*, not 'heum'; did you mean 'heun'"),
        ("optim.ema_stds", (0.1, 0.5), "must be at least 0.01 and at most 0.25, not 0.5"),
        ("optim.ema_stds", (0.1, "0.05"), "takes a tuple of float"),
        ("optim.ema_stds", (0.1, 0.1), "names a length twice"),
        ("sample.eta", math.nan, "not nan"),
        ("sample.eta", -0.5, "must be from 0 to 1, or -1"),
        ("sample.grid_max", math.inf, "must be finite"),
        ("optim.learning_rate", math.inf, "must be finite"),
        ("sample.guidance_interval", (0.5,), r"takes \(from, to\)"),
        ("sample.guidance_interval", (0.9, 0.1), r"takes \(from, to\)"),
        ("sample.guidance_interval", (0.1, math.nan), r"takes \(from, to\)"),
        ("sample.prompts", (), "at least one prompt"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_key(key, value, words):
    with pytest.raises(config.ConfigError, match=words) as error:
        config.resolve(_nested(key, value))
    assert f"'{key}'" in str(error.value)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"model.heads": 5}, "model.heads"),
        ({"data.resolution": 30}, "data.resolution"),
        ({"model.patch": 1, "data.resolution": 16}, "model.overlap"),
        ({"train.accumulation": 3}, "train.accumulation"),
        ({"sample.guide": "runs/a", "sample.negative_prompt": "red"}, "sample.negative_prompt"),
    ],
)
def test_keys_that_contradict_each_other_come_with_a_way_out(values, key):
    with pytest.raises(config.ConfigError) as error:
        small.config(values)
    assert f"'{key}'" in str(error.value)
    if "try --config." in str(error.value):
        # The advice, taken, works.
        advised, _, value = str(error.value).split("try --config.")[1].partition("=")
        small.config(values | {advised: int(value)})
    else:
        small.config(values | {key: type(values.get(key, False))()})


def test_whole_numbers_will_do_for_fractions_and_lists_for_tuples():
    made = config.resolve({"optim": {"learning_rate": 1}, "sample": {"prompts": ["an owl"]}})
    assert (made.optim.learning_rate, type(made.optim.learning_rate)) == (1.0, float)
    assert made.sample.prompts == ("an owl",)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "optim.learning_rate": st.floats(0, 1),
            "train.num_steps": st.integers(1, 10**9),
            "data.category": st.text(max_size=20),
            "sample.prompts": st.lists(st.text(max_size=20), min_size=1, max_size=3).map(tuple),
        },
    )
)
def test_a_config_survives_json(values):
    made = small.config(values)
    assert config.from_json(made.to_json()) == made


@pytest.mark.parametrize("text", ["{", "[1]", '{"optim": {"pickle": 1}}', '{"optim": 3}'])
def test_a_saved_config_that_is_none_is_refused(text):
    with pytest.raises(config.ConfigError):
        config.from_json(text)


def test_defaults_are_a_locked_config_dict_of_plain_data():
    made = config.default()
    assert config.resolve(made.to_dict()) == config.Config()
    with pytest.raises(AttributeError):
        made.optim.learnign_rate = 1.0
    assert json.loads(config.Config().to_json())["sample"]["sampler"] == "flow_heun"


def test_only_what_leaves_training_the_same_may_change_on_resume():
    saved = small.config()
    harmless = small.config({"train.log_every_steps": 7, "data.workers": 1, "mesh.fsdp": 2, "train.accumulation": 2})
    assert config.changes_that_break_resume(saved, harmless) == []
    other = small.config({"model.width": 64, "train.seed": 1})
    assert config.changes_that_break_resume(saved, other) == ["model.width: 32 -> 64", "train.seed: 0 -> 1"]
