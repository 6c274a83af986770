"""Food & Drink emoji at 32 pixels: the demo.

dfjax train --config=configs/emoji.py --workdir=runs/demo
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.category = "Food & Drink"
    config.data.vary_captions = True
    config.data.recolour = 0.35
    config.text.max_tokens = 14
    config.model.width = 128
    config.model.depth = 5
    config.model.heads = 4
    config.model.unroll = 5
    config.optim.learning_rate = 2e-3
    config.optim.ema_decay = 0.998
    config.train.batch_size = 16
    config.train.num_steps = 5000
    config.train.sample_every_steps = 1000
    config.train.checkpoint_every_steps = 500
    return config
