"""Food & Drink emoji at 32 pixels: the demo.

    dfjax data build --config=configs/emoji.py
    dfjax train --config=configs/emoji.py --workdir=runs/demo
    python benchmarks/demo.py --workdir=runs/demo

Hardware: two CPU cores, 16 minutes at 163 images/s. Result: concept_rank1 1.00, style_rank1 1.00, unseen_colour 0.92,
unseen_object 0.70 (benchmarks/demo.py says what they are).
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.category = "Food & Drink"
    config.data.vary_captions = True
    config.data.recolour = 0.25
    config.text.max_tokens = 14
    config.model.width = 192
    config.model.depth = 6
    config.model.heads = 4
    config.model.patch = 8
    config.model.unroll = 6
    config.optim.learning_rate = 2.5e-3
    config.optim.ema_decay = 0.997
    config.train.batch_size = 32
    config.train.num_steps = 5000
    config.train.checkpoint_every_steps = 500
    config.train.keep_last = 10
    config.train.sample_every_steps = 2000
    return config
