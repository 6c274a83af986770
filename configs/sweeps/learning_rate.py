"""Learning rate x width on the demo, a tenth as long: which rate is best, and does that depend on the width?

    dfjax data build --config=configs/emoji.py
    dfjax sweep --config=configs/sweeps/learning_rate.py --workdir=runs/learning_rate
    dfjax sweep --search --trials=20 --config=configs/sweeps/learning_rate.py --workdir=runs/search

Hardware: two CPU cores, 34 minutes beside other work. Result: validation loss 0.916 at 0.003 for width 192, 1.018 at
0.01 (the largest) for width 96: the best rate falls as the width grows. The search was not run.
"""

import pathlib
import runpy

from dfjax.sweeps import grid

_DEMO = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "emoji.py"))


def get_config():
    config = _DEMO["get_config"]()
    config.train.num_steps = 500
    config.train.validate_every_steps = 50
    config.train.log_every_steps = 25
    config.train.checkpoint_every_steps = 100
    config.train.keep_last = 1
    # Pictures come at the end only.
    config.train.sample_every_steps = 0
    return config


def sweep():
    return grid.product(
        {
            "optim.learning_rate": (1e-3, 3e-3, 1e-2),
            "model.width": (96, 192),
        }
    )


def search(trial):
    return {
        "optim.learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "model.width": trial.suggest_int("width", 64, 192, step=32),
    }
