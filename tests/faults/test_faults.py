"""Kills, one amid a save and (`-m long`) a dozen, of 1, 2 and 4 processes: all end in an undisturbed run's very bits.

README.md has the campaigns of hundreds.
"""

import pytest

from tests.faults import plan, record
from tests.faults.campaign import Campaign

pytestmark = [pytest.mark.slow, pytest.mark.resume, pytest.mark.multihost]

# Number of a run in the plan of this seed, its processes, and the instants it is killed in.
SEED = 2026
RUNS = {
    "a save": plan.run(SEED, 3, instants=(plan.SAVE,)),
    "one process": plan.run(SEED, 0),
    "two processes": plan.run(SEED, 1, processes=(2,), instants=(plan.START_UP, plan.STEP, plan.EVALUATION)),
    "four processes": plan.run(SEED, 2, processes=(4,), instants=(plan.SAVE,)),
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return Campaign(tmp_path_factory.mktemp("faults"), SEED)


@pytest.mark.gate(1)
@pytest.mark.parametrize("name", RUNS)
def test_killed_runs_end_as_undisturbed_ones(name, campaign):
    run = RUNS[name]
    lines = campaign.play(run)
    assert len(lines) == len(run.faults)
    assert [(line.outcome, line.wrong) for line in lines] == [(record.EQUAL, "")] * len(lines)
    assert any(line.in_save for line in lines) or not any(fault.instant == plan.SAVE for fault in run.faults)
