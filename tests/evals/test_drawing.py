"""Pictures for captions: which captions, the same picture in every batch, and what a kill costs."""

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.evals import drawing
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import generate
from tests import small

CAPTIONS = ["a red apple", "a banana", "a red apple", "owl", "deer"]


class Counted:
    """A sampler that counts the pictures that it draws, and may be killed before one of its batches."""

    def __init__(self, batch_size, dies_at=None):
        mesh = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
        settings = config_lib.resolve({"sample": {"steps": 2, "sampler": "ddim"}}).sample
        network = small.network()
        self._sampler = generate.Sampler(network, mesh, settings=settings, batch_size=batch_size)
        self.params, self.batch_size = small.params(network), batch_size
        self.batches, self._dies_at = 0, dies_at

    def __call__(self, params, wanted, seed):
        if self.batches == self._dies_at:
            raise KeyboardInterrupt
        self.batches += 1
        return self._sampler(params, wanted, seed)


def _settings(**changes):
    return config_lib.resolve({"sample": {"guidance": 2.0} | changes}).sample


def _draw(sampler, folder, seed=1, **settings):
    return drawing.draw(sampler, sampler.params, CAPTIONS, _settings(**settings), seed, folder)


def _are_one(one, other) -> bool:
    """Whether pictures are equal within float32: now and then a level is rounded to its other neighbour."""
    off = np.abs(one.astype(int) - other.astype(int))
    return bool(off.max() <= 1 and (off > 0).mean() < 0.002)


@pytest.mark.parametrize(
    ("count", "places"), [(2, [0, 2]), (5, [0, 1, 2, 3, 4]), (10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), (3, [0, 1, 3])]
)
def test_captions_are_spread_evenly_and_repeated_evenly(count, places):
    found, captions = drawing.captions_for(CAPTIONS, count)
    assert found == places
    assert captions == [CAPTIONS[place] for place in places]


def test_a_picture_is_the_same_in_every_batch_and_differs_by_its_index_and_the_seed(tmp_path):
    pictures = _draw(Counted(2), tmp_path / "a")
    assert pictures.shape == (5, 16, 16, 3)
    assert _are_one(_draw(Counted(5), tmp_path / "b"), pictures)
    assert not _are_one(pictures[0], pictures[2])
    assert not _are_one(_draw(Counted(5), tmp_path / "c", seed=2), pictures)


def test_guidance_leads_away_from_the_negative_prompt(tmp_path):
    pictures = _draw(Counted(5), tmp_path / "a")
    assert (_draw(Counted(5), tmp_path / "b", negative_prompt="a blue deer") != pictures).any()
    assert (_draw(Counted(5), tmp_path / "c", guidance=3.0) != pictures).any()


def test_after_a_kill_only_what_is_missing_is_drawn(tmp_path):
    whole = _draw(Counted(2), tmp_path / "whole")
    killed = Counted(2, dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        _draw(killed, tmp_path / "cut")
    again = Counted(2)
    np.testing.assert_array_equal(_draw(again, tmp_path / "cut"), whole)
    assert (killed.batches, again.batches) == (2, 1)


def test_a_file_that_was_cut_is_drawn_again(tmp_path):
    whole = _draw(Counted(2), tmp_path)
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-7])
    again = Counted(2)
    np.testing.assert_array_equal(_draw(again, tmp_path), whole)
    assert again.batches == 1


def test_where_nothing_can_be_kept_it_is_drawn_all_the_same(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    pictures = _draw(Counted(5), tmp_path / "file" / "below")
    assert len(pictures) == 5
    assert "nothing can be kept" in caplog.text


def test_what_is_measured_is_forgotten(tmp_path):
    _draw(Counted(5), tmp_path / "step_1" / "split")
    drawing.forget(tmp_path / "step_1")
    assert list(tmp_path.iterdir()) == []
