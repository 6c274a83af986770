"""A dozen kills of runs of 1 and (`-m long`) 2 and 4 processes: each ends in an undisturbed run's state, to the bit.

README.md has the campaigns of hundreds.
"""

import pytest

from tests.faults import plan, record
from tests.faults.campaign import Campaign

pytestmark = [pytest.mark.slow, pytest.mark.resume, pytest.mark.multihost]

# Number of a run in the plan of this seed, its processes, and the instants it is killed in: 12 kills in sum.
SEED = 2026
RUNS = {
    "one process": plan.run(SEED, 0),
    "two processes": plan.run(SEED, 1, processes=(2,), instants=(plan.START_UP, plan.STEP, plan.EVALUATION)),
    "four processes": plan.run(SEED, 2, processes=(4,), instants=(plan.SAVE,)),
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return Campaign(tmp_path_factory.mktemp("faults"), SEED)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if run.processes > 1 else []) for name, run in RUNS.items()]
)
def test_killed_runs_end_as_undisturbed_ones(name, campaign):
    run = RUNS[name]
    lines = campaign.play(run)
    assert len(lines) == len(run.faults)
    assert [(line.outcome, line.wrong) for line in lines] == [(record.EQUAL, "")] * len(lines)
    assert any(line.in_save for line in lines) or not any(fault.instant == plan.SAVE for fault in run.faults)
