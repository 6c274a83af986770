"""The recipe of the smallest run, for commands and (its values) for tests/small.py."""

from dfjax import config as config_lib

VALUES = {
    "data.name": "tiny_labelled",
    "data.validation_split": "test",
    "data.resolution": 16,
    "data.workers": 0,
    "text.vocab_size": 300,
    "text.max_tokens": 8,
    "model.width": 32,
    "model.depth": 2,
    "model.heads": 2,
    "optim.warmup_steps": 2,
    "train.batch_size": 16,
    "train.num_steps": 20,
    # TensorFlow takes as long to load as such a run to train.
    "train.tensorboard": False,
    "sample.sampler": "ddim",
    "sample.steps": 4,
    "sample.prompts": ("an owl",),
}


def get_config():
    config = config_lib.default()
    for key, value in VALUES.items():
        section, name = key.split(".")
        config[section][name] = value
    return config
