"""Where the steps lie: falling from 1 to 0, at the levels that each grid is named for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.diffusion import discrete, grids
from tests.analytic.choices import SCHEDULES, discrete_steps

labels = st.sampled_from(sorted(SCHEDULES))
ends = st.builds(grids.Ends, st.floats(1e-4, 1.0), st.floats(1.5, 1000.0), st.floats(1.0, 100.0))


@given(st.sampled_from(sorted(grids.GRIDS)), labels, st.integers(1, 60), ends)
def test_times_fall_from_1_to_0_one_a_step(name, label, steps, ends):
    times = grids.make(name, SCHEDULES[label], steps, ends)
    assert times.shape == (steps + 1,)
    assert times.dtype == np.float64
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize("label", SCHEDULES)
def test_grids_are_even_in_what_they_are_named_for(label):
    made, bounds = SCHEDULES[label], grids.Ends(0.05, 12.0, 5.0)
    inner = {name: grids.make(name, made, 12, bounds)[1:-1] for name in grids.GRIDS}
    even = {
        "trailing": inner["trailing"],
        "uniform": inner["uniform"],
        "log_snr": made.log_snr(inner["log_snr"]),
        "karras": made.ratio(inner["karras"]) ** (1 / 5),
        "angle": np.arctan((made.ratio(inner["angle"]) / 0.35) ** (1 / 1.5)),
    }
    for name, values in even.items():
        np.testing.assert_allclose(np.diff(values, 2), 0.0, atol=1e-6, err_msg=name)
    for name in ("uniform", "log_snr", "karras"):
        np.testing.assert_allclose(made.ratio(inner[name][-1]), 0.05, rtol=1e-6)


def test_edms_own_steps_are_even_in_t_under_its_schedule():
    made = SCHEDULES["edm"]
    steps = (80 ** (1 / 7) * np.linspace(1, 0, 19)) ** 7
    np.testing.assert_allclose(made.sigma(grids.make("trailing", made, 18)), steps, rtol=1e-9)


@pytest.mark.parametrize("name", ["uniform", "trailing"])
def test_a_discrete_schedules_even_steps_are_at_its_levels(name):
    label = "scaled_linear, 1000 levels, zero terminal"
    times = grids.make(name, SCHEDULES[label], 10, grids.Ends(0.1), discrete_steps(label))
    levels = discrete.level(times[:-1], 1000)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-9)
    assert (times[0], times[-1]) == (1.0, 0.0)


def test_two_steps_on_one_level_are_refused():
    with pytest.raises(ValueError, match="not all different among the 1000 levels"):
        grids.make("trailing", SCHEDULES["linear, 1000 levels"], 1001, discrete_steps=1000)


@pytest.mark.parametrize("name", ["log_snr", "karras"])
def test_other_steps_are_between_levels_and_not_below_the_first(name):
    label = "scaled_linear, 1000 levels, zero terminal"
    times = grids.make(name, SCHEDULES[label], 50, grids.Ends(1e-3), discrete_steps(label))
    assert times[-2] == pytest.approx(1e-3)


@pytest.mark.parametrize("ends", [grids.Ends(grid_max=np.inf), grids.Ends(grid_min=np.nan)])
def test_ends_that_are_none_are_refused(ends):
    with pytest.raises(ValueError, match="not all different"), np.errstate(all="ignore"):
        grids.make("log_snr", SCHEDULES["flow"], 8, ends)


@given(st.integers(1, 50), st.floats(0.0, 1.0))
def test_editing_takes_its_share_of_the_steps(steps, strength):
    times = np.linspace(1.0, 0.0, steps + 1)
    share = grids.last_share(times, strength)
    assert len(share) - 1 == pytest.approx(strength * steps, abs=1)
    np.testing.assert_array_equal(share, times[-len(share) :])
    assert share[-1] == 0.0
    assert (len(share) == steps + 1) or strength < 1.0
