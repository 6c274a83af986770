"""A trained denoiser from a work directory."""

import shutil

import jax
import jax.numpy as jnp
import pytest

from dfjax import config as config_lib
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.inputs import conditioning
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import restore
from tests import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run saved at steps 1 and 2, whose averaged weights are all equal to the step."""
    room = Workdir(tmp_path_factory.mktemp("run"))
    tokenizer = small.tokenizer()
    network = small.network()
    with Checkpoints(room.checkpoints, keep_last=2) as checkpoints:
        for step in (1, 2):
            arrays = jax.tree.map(
                lambda leaf, step=step: jnp.full(leaf.shape, step, leaf.dtype), network.abstract_params()
            )
            saved = {"params": {"x": jnp.zeros(1)}, "optimizer": {"x": jnp.zeros(1)}, "ema": arrays}
            checkpoints.save(step, saved, {"config": small.config().to_dict()}, tokenizer.model)
            checkpoints.wait()
    return room.path


def _load(path, step=None):
    return restore.load(path, mesh_lib.make(config_lib.Mesh(), jax.devices()[:1]), step)


@pytest.mark.parametrize(("asked", "given"), [(None, 2), (1, 1)])
def test_the_averaged_weights_come_with_all_that_is_needed_to_call_them(asked, given, run):
    trained = _load(run, asked)
    assert trained.step == given
    network = trained.network
    assert network.config == small.config()
    assert network.inputs.conditioner.saved == small.tokenizer().model
    assert all((leaf == given).all() for leaf in jax.tree.leaves(trained.params))
    ids = conditioning.of_prompts(network.inputs.conditioner, ["an owl"])
    drawn = network.denoiser.apply(trained.params, jnp.ones((1, 16, 16, 3)), jnp.ones(1), ids)
    assert drawn.shape == (1, 16, 16, 3)


def test_a_step_that_is_not_there_is_refused_with_those_that_are(run):
    with pytest.raises(CheckpointError, match="no checkpoint of step 7; it has 1, 2"):
        _load(run, 7)


def test_an_empty_folder_is_told_in_words(tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        _load(tmp_path)


def test_a_newest_checkpoint_that_lacks_something_does_not_bar_an_older_one(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / "step_2" / "ema")
    assert _load(copy, 1).step == 1
    for asked in (None, 2):
        with pytest.raises(CheckpointError, match=r"step_2 is damaged.* ema missing"):
            _load(copy, asked)
