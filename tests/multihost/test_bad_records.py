"""1% of 10,000 records damaged in every way there is: training by 1 and by 4 processes meets the same ones.

What should be met is reckoned from the order of records and the list of damaged ones, and not by reading a record.
"""

import json

import pytest

from dfjax.data import pipeline
from tests.data import mixed
from tests.multihost.run import Run

COUNT, STEPS, BATCH = 10_000, 75, 100
OVERRIDES = (
    "data.name=mixed_captioned",
    "data.validation_split=",
    "data.resolution=8",
    "text.depth=0",
    "model.depth=1",
    "model.width=16",
    "mesh.data=-1",
    f"train.num_steps={STEPS}",
    f"train.batch_size={BATCH}",
    "train.log_every_steps=15",
    "train.checkpoint_every_steps=20",
    "train.sample_every_steps=0",
)

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, Run]:
    data = str(tmp_path_factory.mktemp("data"))
    mixed.MixedCaptioned(count=COUNT, data_dir=data).download_and_prepare()
    return {count: Run(count, data, tmp_path_factory.mktemp(f"by_{count}"), OVERRIDES) for count in (1, 4)}


def _met() -> dict[str, int]:
    """The step that first met each damaged record, by the record's id, in the ledger's order."""
    bad = mixed.damaged(COUNT)
    met: dict[str, int] = {}
    for position in range(STEPS * BATCH):
        index = pipeline.position_to_index(COUNT, 0, position)
        while index in bad:
            met.setdefault(f"mixed_captioned/train[{index}]", position // BATCH + 1)
            index = (index + 1) % COUNT
    return dict(sorted(met.items(), key=lambda item: (item[1], item[0])))


@pytest.mark.parametrize("count", [1, 4])
def test_the_ledger_names_exactly_the_damaged_records_that_were_visited(count, runs):
    lines = [json.loads(line) for line in (runs[count].folder / "bad_records.jsonl").read_text().splitlines()]
    met = _met()
    assert 60 < len(met) < 90
    assert [(line["id"], line["step"]) for line in lines] == list(met.items())
    assert all(line["reason"] for line in lines)


@pytest.mark.parametrize("count", [1, 4])
def test_the_scalars_count_those_of_every_process(count, runs):
    lines = [json.loads(line) for line in (runs[count].folder / "metrics.jsonl").read_text().splitlines()]
    counts = {line["step"]: line["data/bad_records"] for line in lines if "data/bad_records" in line}
    met = _met()
    assert counts == {at: sum(step <= at for step in met.values()) for at in (15, 30, 45, 60, 75)}


def test_batches_and_ledgers_are_the_same_bits(runs):
    (wanted,) = runs[1].rows
    assert len(wanted) == STEPS * BATCH * 2
    assert {key: value for rows in runs[4].rows for key, value in rows.items()} == wanted
    one, four = ((runs[count].folder / "bad_records.jsonl").read_bytes() for count in (1, 4))
    assert one == four
