"""Averages of any length from the snapshots of a run whose parameters are known at every step."""

import shutil

import jax
import numpy as np
import pytest

from dfjax.checkpoint.reconstruct import reconstruct
from dfjax.checkpoint.snapshots import Reconstructed
from dfjax.checkpoint.store import CheckpointError
from dfjax.checkpoint.workdir import Workdir
from dfjax.diffusion import averaging, posthoc
from tests.checkpoint.conftest import save, shapes, snapshot

STEPS = 800
EVERY = 100
STDS = (0.05, 0.1)


def _average(step, std):
    """The average of the parameters (k/400)^2 + noise of each step k up to ``step``, by its definition."""
    k = np.arange(STEPS)[:, None, None]
    parameters = (k / 400) ** 2 + np.random.default_rng(0).normal(size=(STEPS, 4, 3))
    edges = np.minimum(np.arange(STEPS + 1) / step, 1.0) ** (averaging.power_gamma(std) + 1)
    return {"a": {"kernel": np.tensordot(np.diff(edges), parameters, 1).astype(np.float32)}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    room = Workdir(tmp_path_factory.mktemp("run"))
    save(room, (STEPS,))
    for step in range(EVERY, STEPS + 1, EVERY):
        snapshot(room, step, {std: _average(step, std) for std in STDS})
    return room


@pytest.fixture
def room(trained, tmp_path):
    return Workdir(shutil.copytree(trained.path, tmp_path / "run"))


def _read(room, std, step):
    with Reconstructed(room.reconstructed(std)) as made:
        like = shapes(jax.tree.map(jax.numpy.asarray, _average(1, 0.1)))
        return made.read(step, {std: like})[std]["a"]["kernel"], made.meta(step)


def test_an_average_of_another_length_is_as_near_as_its_residual_says(room):
    (made,) = reconstruct(room, [0.07])
    assert (made.std, made.step, made.snapshots) == (0.07, STEPS, 8)
    assert made.path == room.reconstructed(0.07) / "step_800"
    assert made.residual == pytest.approx(1.34e-2, rel=0.01)
    found, meta = _read(room, 0.07, STEPS)
    np.testing.assert_allclose(found, _average(STEPS, 0.07)["a"]["kernel"], rtol=2 * made.residual)
    assert (meta["std"], meta["residual"], meta["snapshots"]) == (0.07, made.residual, list(range(100, 801, 100)))


def test_it_is_the_sum_in_float64_of_the_snapshots(room):
    reconstruct(room, [0.15], step=500)
    stored = [posthoc.Average(step, std) for step in range(EVERY, STEPS + 1, EVERY) for std in STDS]
    values, _ = posthoc.weights(stored, posthoc.Average(500, 0.15))
    expected = sum(x * np.float64(_average(*each)["a"]["kernel"]) for x, each in zip(values, stored, strict=True))
    np.testing.assert_array_equal(_read(room, 0.15, 500)[0], expected.astype(np.float32))


@pytest.mark.parametrize(("std", "step"), [(0.05, 300), (0.1, 800)])
def test_it_is_the_snapshot_to_the_bit_at_its_length_and_step(std, step, room):
    (made,) = reconstruct(room, [std], step)
    assert made.residual == 0.0
    np.testing.assert_array_equal(_read(room, std, step)[0], _average(step, std)["a"]["kernel"])


def test_an_average_is_replaced_when_there_are_more_snapshots(room):
    held = (room.snapshots / "step_700").rename(room.path / "held")
    (before,) = reconstruct(room, [0.25], step=650)
    held.rename(room.snapshots / "step_700")
    reconstruct(room, [0.25], step=700)
    (after,) = reconstruct(room, [0.25], step=650)
    assert after.residual < before.residual
    assert _read(room, 0.25, 650)[1]["residual"] == after.residual
    assert sorted(path.name for path in room.reconstructed(0.25).iterdir()) == ["step_650", "step_700"]


def test_what_cannot_be_made_is_refused_in_words(room, tmp_path):
    with pytest.raises(CheckpointError, match="no snapshot at or after step 801; choose a --step from 1 to 800"):
        reconstruct(room, [0.1], step=801)
    with pytest.raises(CheckpointError, match=r"no average of length 0\.05 at step 10 can be made of 8 snapshots"):
        reconstruct(room, [0.05], step=10)
    with pytest.raises(CheckpointError, match="does not exist: `dfjax train"):
        reconstruct(Workdir(tmp_path / "missing"), [0.1])
    (room.snapshots / "step_400" / "averages" / "_METADATA").unlink()
    with pytest.raises(CheckpointError, match=r"step_400 is damaged .*delete that folder to average without it"):
        reconstruct(room, [0.07])
    assert not room.reconstructed(0.07).exists()
    shutil.rmtree(room.snapshots / "step_400")
    assert reconstruct(room, [0.07])[0].snapshots == 7
    shutil.rmtree(room.path / "averages")
    with pytest.raises(CheckpointError, match=r"no snapshots of averages: .*optim\.ema_stds.*snapshot_every_steps"):
        reconstruct(room, [0.1])


def test_snapshots_of_another_network_are_refused(room):
    snapshot(room, 900, {std: {"a": {"kernel": np.ones((2, 2), np.float32)}} for std in STDS})
    with pytest.raises(CheckpointError, match=r"step_900 is of another model: .*float32\[4, 3\] and it holds"):
        reconstruct(room, [0.07])
