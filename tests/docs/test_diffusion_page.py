"""docs/diffusion.md: every choice has its row, and the script that draws its pictures runs."""

import importlib.util
import pathlib
import re

import pytest
from PIL import Image

from dfjax import config
from dfjax.core.registry import PREDICTIONS
from dfjax.diffusion import prediction, samplers, schedule

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "diffusion.md").read_text()
# The first cells of all rows of all tables.
ROWS = {name for row in re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}

CHOICES = ("diffusion.schedule", "diffusion.prediction", "diffusion.loss", "diffusion.timesteps")
CHOICES += ("sample.sampler", "sample.grid", "sample.guidance_method")


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_has_a_row(key):
    assert set(config.FIELDS[key].metadata["choices"]) <= ROWS
    assert f"`{key}`" in PAGE


def test_nothing_is_left_to_fill_in():
    assert "HERE" not in PAGE
    assert "TODO" not in PAGE


def test_the_list_of_config_keys_is_the_schemas():
    assert (DOCS / "config.md").read_text().split("```")[1].strip("\n") == config.describe()


def test_every_key_that_is_named_exists():
    named = re.findall(r"`((?:diffusion|sample|optim|train)\.\w+)`", PAGE)
    assert named
    assert set(named) <= set(config.FIELDS)


def test_the_admitted_pairs_are_those_of_the_table_in_the_code():
    ends_in_noise = {name for name, plain in schedule.SCHEDULES.items() if plain().ends_in_noise}
    assert ends_in_noise == {"flow", "cosine"}
    refused = {kind for kind in PREDICTIONS if not prediction.admitted(kind, schedule.flow())}
    assert refused == {"eps"}
    assert all(prediction.admitted(kind, schedule.linear()) for kind in PREDICTIONS)
    assert "| `eps` | yes, **no: refused** | yes, yes |" in PAGE


def test_the_pictures_are_there_and_are_drawn_by_the_script(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("figures", DOCS / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    monkeypatch.setattr(figures, "POINTS", 20)
    monkeypatch.setattr(samplers, "SAMPLERS", {name: samplers.SAMPLERS[name] for name in ("ddpm", "unipc_3")})
    figures.main(str(tmp_path))
    for name in ("schedules", "samplers"):
        for folder in (tmp_path, DOCS / "images"):
            with Image.open(folder / f"{name}.png") as drawn:
                assert min(drawn.size) > 100
