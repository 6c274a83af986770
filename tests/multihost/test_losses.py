"""The same small run by 1, 2 and 4 real processes, joined over loopback, each with one CPU device and its shard.

Batches are the same bits, losses agree, every process reads rows of its own, and only the first one writes.
"""

import itertools

import numpy as np
import pytest

from tests.data import tiny
from tests.multihost.run import Run
from tests.plugin_groups import asked_for

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
    "train.tensorboard=True",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request) -> dict[int, Run]:
    data = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=data).download_and_prepare()
    counts = (1, *asked_for(request, "count"))
    return {count: Run(count, data, tmp_path_factory.mktemp(f"by_{count}"), OVERRIDES) for count in counts}


@pytest.mark.gate(1)
@pytest.mark.parametrize("count", [2, 4])
def test_batches_are_the_same_bits(count, runs):
    (wanted,) = runs[1].rows
    assert len(wanted) == STEPS * BATCH * 2
    assert len(set(wanted.values())) > STEPS
    found = {key: value for rows in runs[count].rows for key, value in rows.items()}
    assert found == wanted


@pytest.mark.gate(1)
@pytest.mark.parametrize("count", [2, 4])
def test_each_process_reads_rows_of_its_own(count, runs):
    parts = [set(rows) for rows in runs[count].rows]
    assert [len(part) for part in parts] == [STEPS * BATCH * 2 // count] * count
    assert not any(one & other for one, other in itertools.combinations(parts, 2))


@pytest.mark.gate(1)
@pytest.mark.parametrize("count", [2, 4])
def test_losses_agree(count, runs):
    steps = range(1, STEPS + 1)
    wanted = np.array([runs[1].losses[step] for step in steps])
    found = np.array([runs[count].losses[step] for step in steps])
    assert len(runs[count].losses) == STEPS
    # Plainly another number at each step, or there were little to agree about.
    assert np.ptp(wanted) > 0.05 * wanted.mean()
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.gate(1)
@pytest.mark.parametrize("count", [2, 4])
def test_only_the_first_process_tells_of_the_run(count, runs):
    first, *others = runs[count].said
    assert f"step {STEPS}/{STEPS}" in first
    for rank, words in enumerate(others, 1):
        assert f"process {rank} of {count}, 1 local devices" in words
        assert "step " not in words
        assert "parameters in" not in words
    assert len(list(runs[count].folder.glob("events.out.tfevents*"))) == 1
