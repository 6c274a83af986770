"""All 10,586 emoji pictures at 32 pixels, in three styles.

    dfjax data build --config=configs/emoji_full.py
    dfjax train --config=configs/emoji_full.py --workdir=runs/emoji_full

For one GPU or a small TPU slice. Result: none was measured yet.
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.vary_captions = True
    config.data.recolour = 0.3
    config.text.vocab_size = 4096
    config.text.max_tokens = 24
    config.train.num_steps = 50_000
    config.sample.prompts = ("a red apple", "a green banana", "a blue dog", "rocket, noto")
    return config
