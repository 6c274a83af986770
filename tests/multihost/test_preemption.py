"""SIGTERM to one of several processes, and what goes on from there: on as many of them, and on fewer and more.

One run of 20 steps in four processes is undisturbed. Another gets SIGTERM; from what it saved one goes on in four
processes to the end, and one goes on in two, in four and in one, each but the last of which gets SIGTERM again.
"""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from dfjax.checkpoint.store import ARRAYS, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from tests import command
from tests.data import tiny

pytestmark = pytest.mark.long

PROGRAM = pathlib.Path(__file__).with_name("losses_program.py")
STEPS, BATCH = 20, 16
OVERRIDES = (
    "data.validation_split=",
    "data.vary_captions=True",
    "data.flip=True",
    "text.depth=0",
    "mesh.data=1",
    "mesh.fsdp=-1",
    f"train.num_steps={STEPS}",
    "train.log_every_steps=1",
    "train.checkpoint_every_steps=1000",
)


class Part:
    """One start of ``count`` processes, the last of which may be sent SIGTERM while it reads the batch ``at``."""

    def __init__(self, count: int, room: Workdir, data: str, at: int | None = None):
        records = [room.path.with_name(f"{room.path.name}-{count}-{rank}.json") for rank in range(count)]
        programs = [(str(PROGRAM), str(record)) for record in records]
        arguments = command.train(room.path, data, *OVERRIDES)
        disturb = {} if at is None else {"DISTURB": f"term@{at}", "DISTURBED_RANK": str(count - 1)}
        self.ends = command.ends(command.start_joined(count, *arguments, programs=programs, **disturb))
        self.statuses = [status for status, _ in self.ends]
        self.step = room.steps()[-1] if room.steps() else 0
        self.rows = {key: row for record in records for key, row in json.loads(record.read_text()).items()}
        assert set(self.statuses) == {0 if at is None else 42}, self.ends


def _losses(room: Workdir) -> dict[int, float]:
    lines = [json.loads(line) for line in room.metrics.read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    room = Workdir(tmp_path_factory.mktemp("undisturbed") / "run")
    return room, Part(4, room, data)


@pytest.fixture(scope="module")
def told_to_end(data, tmp_path_factory):
    room = Workdir(tmp_path_factory.mktemp("told") / "run")
    return room, Part(4, room, data, at=3)


def _copy(told_to_end, folder: pathlib.Path) -> Workdir:
    shutil.copytree(told_to_end[0].path, folder / "run")
    return Workdir(folder / "run")


def _leaves(room: Workdir) -> dict[str, np.ndarray]:
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(room.checkpoints) as checkpoints:
        shapes = {item: checkpoints.array_shapes(STEPS, item) for item in ARRAYS}
        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)
        return trees.named_leaves(checkpoints.arrays(STEPS, wanted))


def test_all_save_the_same_step_soon_and_say_so(told_to_end):
    room, part = told_to_end
    assert 3 < part.step < STEPS - 2
    assert room.steps() == [part.step]
    for _, words in part.ends:
        assert f"step {part.step} of {STEPS} is saved" in words
        assert "Traceback" not in words


def test_a_run_that_goes_on_equals_an_undisturbed_one_bit_for_bit(undisturbed, told_to_end, data, tmp_path):
    room = _copy(told_to_end, tmp_path)
    Part(4, room, data)
    wanted, found = _leaves(undisturbed[0]), _leaves(room)
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        np.testing.assert_array_equal(found[name], leaf, err_msg=name)
    assert _losses(room) == _losses(undisturbed[0])


def test_records_and_losses_stay_through_four_two_four_and_one_processes(undisturbed, told_to_end, data, tmp_path):
    room = _copy(told_to_end, tmp_path)
    parts = [told_to_end[1]]
    for count, share in ((2, 1 / 3), (4, 1 / 2)):
        start = parts[-1].step
        parts.append(Part(count, room, data, at=start + int((STEPS - start) * share) - 2))
        assert start < parts[-1].step < STEPS
    parts.append(Part(1, room, data))
    assert parts[-1].step == STEPS

    wanted = undisturbed[1].rows
    assert len(wanted) == STEPS * BATCH * 2
    starts = [0, *(part.step for part in parts)]
    for part, first, last in zip(parts, starts, starts[1:], strict=False):
        # Batches are read ahead of the steps, so that a part knows some of the next one's too.
        trained = {key: row for key, row in part.rows.items() if first <= int(key.split()[0]) < last}
        assert len(trained) == (last - first) * BATCH * 2
        assert trained == {key: wanted[key] for key in trained}
    losses, undisturbed_losses = _losses(room), _losses(undisturbed[0])
    assert sorted(losses) == sorted(undisturbed_losses) == list(range(1, STEPS + 1))
    # Other noise would be seen here: a step's loss hangs on its levels and its noise by far more than this.
    np.testing.assert_allclose([losses[s] for s in losses], [undisturbed_losses[s] for s in losses], rtol=1e-4)
