"""`dfjax data`: prints and draws what training sees."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from dfjax import config
from dfjax.data import inspection
from dfjax.data.errors import DataError


def test_inspect_prints_sizes_categories_and_captions_and_draws_a_grid(emoji_data, tmp_path, capsys):
    data = dataclasses.replace(emoji_data, category="Food & Drink", recolour=0.5, vary_captions=True)
    out = tmp_path / "seen.png"
    inspection.run(config.Config(data=data), "inspect", num=20, out=str(out))
    printed = capsys.readouterr().out
    assert "train: 3" in printed
    assert "heldout: " in printed
    assert "Animals & Nature (" in printed
    assert ", noto" in printed
    assert np.asarray(Image.open(out)).std() > 10


def test_build_says_where_the_data_set_is_and_leaves_one_that_is_there(emoji_data, capsys):
    inspection.run(config.Config(data=emoji_data), "build")
    assert capsys.readouterr().out.strip().startswith(emoji_data.dir)


def test_another_data_set_is_not_built(tmp_path):
    with pytest.raises(DataError, match="tfds build mnist"):
        inspection.run(config.Config(data=config.Data(name="mnist", dir=str(tmp_path))), "build")


def test_an_unknown_action_is_refused(emoji_data):
    with pytest.raises(DataError, match="not 'show'"):
        inspection.run(config.Config(data=emoji_data), "show")
