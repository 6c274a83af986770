"""Prediction x noise schedule x loss weight on the demo: every pair that gives the clean picture at all noise levels.

    dfjax data build --config=configs/emoji.py
    dfjax sweep --config=configs/sweeps/objective.py --workdir=runs/objective
    dfjax sweep status --workdir=runs/objective --sort=kid_efficientnet_lite0

Their losses are in different terms, and say nothing of each other: each run is evaluated at its end. 20 runs of 1,000
steps. Result: none was measured yet.
"""

import pathlib
import runpy

from dfjax.sweeps import grid

_DEMO = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "emoji.py"))


def get_config():
    config = _DEMO["get_config"]()
    config.train.num_steps = 1000
    config.train.keep_last = 1
    config.train.sample_every_steps = 0
    # After the last step.
    config.eval.every_steps = 1000
    config.eval.evaluators = ("distances", "alignment")
    return config


def sweep():
    # Imported here: importing a recipe stays quick.
    from dfjax.diffusion import prediction, schedule

    axes = {
        "diffusion.prediction": ("x0", "eps", "v", "flow"),
        "diffusion.schedule": ("flow", "cosine", "linear"),
        "diffusion.loss": ("constant", "min_snr"),
    }
    for overrides in grid.product(axes):
        levels = schedule.SCHEDULES[overrides["diffusion.schedule"]]()
        if prediction.admitted(overrides["diffusion.prediction"], levels):
            yield overrides
