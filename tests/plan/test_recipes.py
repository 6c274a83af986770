"""The large recipes: they fit the hardware that they are meant for, and train a few steps where they are made small."""

import json

import pytest

from configs import mmdit_2b_512, mmdit_8b_1024, pixel_b16_256
from dfjax import config as config_lib
from dfjax.checkpoint.workdir import Workdir
from dfjax.plan import report, topology
from dfjax.training import loop

SMALL = {
    "data": {"resolution": 64},
    "text": {"max_tokens": 8},
    "model": {"width": 64, "depth": 2, "heads": 2},
    "train": {"batch_size": 8, "num_steps": 3, "log_every_steps": 1},
    "optim": {"warmup_steps": 1},
}
OVER_CONTEXT = {"mesh": {"data": 1, "context": 2}}


def _config(recipe, *changes) -> config_lib.Config:
    values = recipe.get_config().to_dict()
    for change in changes:
        for section, of_section in change.items():
            values[section] |= of_section
    return config_lib.resolve(values)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "where", "changes", "share"),
    [
        pytest.param(mmdit_2b_512, "v5e:16x16", {}, 0.9, id="2B"),
        pytest.param(mmdit_8b_1024, "v6e:16x16", OVER_CONTEXT, 1.0, id="8B over context", marks=pytest.mark.long),
    ],
)
def test_a_recipe_fits_the_slice_that_it_is_meant_for(recipe, where, changes, share):
    plan = report.make(_config(recipe, changes), topology.parse(where))
    assert plan.fits
    assert plan.memory.peak <= share * plan.usable_bytes
    assert plan.recomputed_share <= 0.35
    assert plan.mfu_bound >= 0.5


@pytest.mark.long
@pytest.mark.parametrize("recipe", [pixel_b16_256, mmdit_2b_512, mmdit_8b_1024], ids=lambda recipe: recipe.__name__)
def test_a_recipe_made_small_trains(recipe, tmp_path):
    assert loop.train(_config(recipe, SMALL, {"mesh": {"data": -1, "fsdp": 1}}), tmp_path) == 3
    lines = [json.loads(line) for line in Workdir(tmp_path).metrics.read_text().splitlines()]
    told = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in told] == [1, 2, 3]
    assert {"train/mfu", "train/images_per_second", "train/memory_gib"} <= told[-1].keys()
