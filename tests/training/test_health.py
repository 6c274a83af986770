"""Numbers that are not finite, and losses that jump, in real small runs."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.checkpoint.store import ARRAYS, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from dfjax.training import health, loop
from tests import small
from tests.data import tiny
from tests.faults import planted
from tests.faults.planted import Fault

VALUES = {
    "data.validation_split": "",
    "train.num_steps": 12,
    "train.log_every_steps": 5,
    "train.checkpoint_every_steps": 4,
    "train.keep_last": 9,
}
SPIKES = VALUES | {"train.spike_factor": 3.0, "train.spike_window": 3}
LEAF = "patch_out/kernel"


@pytest.fixture
def plant(monkeypatch):
    """Plant faults in the steps that are made from now on."""

    def put(*faults):
        for owner, name, function in planted.patches(faults):
            monkeypatch.setattr(owner, name, function)

    return put


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return {"data.dir": folder}


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _saved(room, number):
    """The arrays and the metadata of a checkpoint."""
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(room.checkpoints) as checkpoints:
        shapes = {item: checkpoints.array_shapes(number, item) for item in ARRAYS}
        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)
        return trees.named_leaves(checkpoints.arrays(number, wanted)), checkpoints.meta(number)


def _assert_equal(found, wanted):
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        np.testing.assert_array_equal(found[name], leaf, err_msg=name)


def _steps(count, values):
    """States (the first one's before) and metrics of steps on one batch."""
    state, take = small.started(small.network({"optim.decay": "none", "optim.ema_stds": (0.1,)} | values))
    states, metrics = [jax.device_get(state)], []
    for _ in range(count):
        state, found = take(state, small.batch())
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(found))
    return states, metrics


@pytest.mark.gate(1)
@pytest.mark.parametrize(
    ("fault", "values", "lost"),
    [
        (Fault(2, "noise", math.nan, row=5), {}, None),
        (Fault(2, "noise", math.inf, row=5), {"train.accumulation": 4}, None),
        (Fault(2, LEAF, math.inf), {"optim.clip_norm": 0.0}, [LEAF]),
        (Fault(2, "loss", math.nan), {}, []),
    ],
    ids=["one row's noise", "one row of one micro-batch", "the gradient of one layer", "the loss"],
)
def test_a_step_that_is_not_finite_changes_nothing_but_the_counts(fault, values, lost, plant):
    plant(fault)
    states, metrics = _steps(3, values)
    before, after, later = states[1:]
    for part in ("params", "ema", "optimizer", "averages"):
        _assert_equal(trees.named_leaves(getattr(after, part)), trees.named_leaves(getattr(before, part)))
    assert [int(state.step) for state in states] == [0, 1, 2, 3]
    assert [(int(state.skipped), int(state.skipped_in_a_row)) for state in states[1:]] == [(0, 0), (1, 1), (1, 0)]
    # The steps around it were taken, and nothing of it is left.
    for one, other in ((states[0], before), (after, later)):
        assert not np.array_equal(one.params["patch_out"]["kernel"], other.params["patch_out"]["kernel"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(later))
    names = list(trees.named_leaves(states[0].params))
    found = [name for name, good in zip(names, metrics[1]["finite"], strict=True) if not good]
    assert found == lost if lost is not None else LEAF in found
    assert metrics[0]["finite"].all() and metrics[2]["finite"].all()


@pytest.mark.long
def test_averages_count_updates_and_not_skipped_steps(plant):
    plant(Fault(1, "noise", math.nan))
    states, _ = _steps(2, {})
    # The first update replaces the zeros that a power-function average begins with.
    _assert_equal(trees.named_leaves(states[2].averages["0.1"]), trees.named_leaves(states[2].params))


def test_skipped_steps_are_told_counted_and_saved(data, tmp_path, plant):
    plant(Fault(3, "noise", math.nan), Fault(6, "noise", math.nan), Fault(7, LEAF, math.inf))
    assert loop.train(small.config(VALUES | data), tmp_path) == 12
    room = Workdir(tmp_path)
    lines = [line for line in _lines(room.metrics) if "train/loss" in line]
    assert [(line["step"], line["train/skipped_steps"]) for line in lines] == [(5, 1), (10, 3), (12, 3)]
    assert all(math.isfinite(line["train/loss"]) for line in lines)
    listed = _lines(room.skipped_steps)
    assert [line["step"] for line in listed] == [3, 6, 7]
    assert listed[2]["gradients"] == [LEAF]
    assert listed[1]["position"] == 5 * 16
    assert len(listed[1]["records"]) == 16 and all("tiny_labelled/train[" in name for name in listed[1]["records"])
    _, meta = _saved(room, 12)
    assert (meta["health"]["skipped"], meta["health"]["skipped_in_a_row"], meta["position"]) == (3, 0, 12 * 16)


@pytest.mark.long
def test_too_many_skipped_in_a_row_end_the_run_in_words_also_over_a_resume(data, tmp_path, plant):
    config = small.config(VALUES | data | {"train.max_skipped_steps": 3})
    room = Workdir(tmp_path)
    plant(Fault(4, "noise", math.nan), Fault(5, "noise", math.nan), Fault(6, LEAF, math.inf))
    words = (
        r"3 steps in a row, 4 to 6, .*arrays \(patch_out/kernel\), records at positions 80 to 95 "
        r"\(tiny_labelled/train\[\d+\], .* and 13 more\).*parameters, nor a checkpoint.*--config\.optim\.learning_rate"
    )
    for _ in range(2):
        with pytest.raises(health.HealthError, match=words):
            loop.train(config, tmp_path)
        assert room.steps() == [4]
        assert [line["step"] for line in _lines(room.skipped_steps)] == [4, 5, 6]
    # The checkpoint of the first skipped step is the state before it, and is gone on from.
    plant()
    assert loop.train(config, tmp_path) == 12
    assert _saved(room, 12)[1]["health"]["skipped"] == 1
    assert [line["step"] for line in _lines(room.skipped_steps)] == [4]


@pytest.mark.long
def test_a_spike_before_the_first_checkpoint_starts_anew(data, tmp_path, plant):
    plant(Fault(4, "loss", 1e3))
    assert loop.train(small.config(SPIKES | data | {"train.num_steps": 5}), tmp_path) == 5
    _, meta = _saved(Workdir(tmp_path), 5)
    assert (meta["attempt"], meta["position"]) == (1, (5 + 4) * 16)


@pytest.mark.long
def test_rollbacks_are_bounded(data, tmp_path, plant):
    plant(Fault(7, "loss", 1e3), Fault(6, "loss", 1e3, attempt=1))
    with pytest.raises(
        health.HealthError, match=r"the loss of step 6 is 1000, .* after 1 rollbacks: .*checkpoint is whole"
    ):
        loop.train(small.config(SPIKES | data | {"train.spike_rollbacks": 1}), tmp_path)
    assert Workdir(tmp_path).steps() == [4]
    assert math.isfinite(float(jnp.sum(_saved(Workdir(tmp_path), 4)[0]["params/" + LEAF])))


@pytest.mark.long
def test_without_the_guard_a_spike_is_a_step_like_others(data, tmp_path, plant):
    plant(Fault(7, "loss", 1e3))
    assert loop.train(small.config(VALUES | data), tmp_path) == 12
    assert _saved(Workdir(tmp_path), 12)[1]["attempt"] == 0
    assert not Workdir(tmp_path).rollbacks.exists()
