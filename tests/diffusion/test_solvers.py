"""What all solvers' tables have in common: a step is exact for one single picture, and everything is finite."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfjax.diffusion import grids, multistep, samplers, tables
from dfjax.diffusion.schedule import shifted
from tests.analytic.choices import SCHEDULES

OPTIONS = {"eta": (None, 0.0, 0.3, 1.0), "churn": (None, 0.0, 5.0, 1000.0), "": (None,)}
CHOICES = [(name, option) for name, made in samplers.SAMPLERS.items() for option in OPTIONS[made.option]]
choices = st.sampled_from(CHOICES)
labels = st.sampled_from(sorted(SCHEDULES))
names = st.sampled_from(sorted(grids.GRIDS))


def _levels(schedule, times):
    grid = tables.levels(schedule, times)
    return [value[:-1] for value in grid], [value[1:] for value in grid]


@given(choices, labels, names, st.integers(1, 30), st.floats(0.1, 10.0))
@example(("dpmpp_2m", None), "flow", "trailing", 2, 1.0)
@example(("heun", 1000.0), "edm", "karras", 2, 1.0)
@example(("ddim", 1.0), "flow", "trailing", 1, 1.0)
def test_a_step_takes_a_single_picture_from_level_to_level(choice, label, name, steps, shift):
    """The variance of the noise too: a table's numbers are one estimate's, and one noise's."""
    schedule = shifted(SCHEDULES[label], shift)
    times = grids.make(name, schedule, steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = samplers.table(choice[0], schedule, times, choice[1])
    for column in table:
        assert column is None or (np.all(np.isfinite(column)) and len(column) == steps)
    (t, alpha, sigma), (_, alpha_end, sigma_end) = _levels(schedule, times)
    noise = np.zeros(steps)
    if isinstance(table, tables.Multistep):
        np.testing.assert_array_equal(table.t, t)
        noise = noise if table.noise is None else table.noise
    else:
        lift = np.ones(steps) if table.lift is None else table.lift
        lifted = np.zeros(steps) if table.lift_noise is None else table.lift_noise
        np.testing.assert_allclose(lift * alpha, schedule.alpha(table.t), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose((lift * sigma) ** 2 + lifted**2, schedule.sigma(table.t) ** 2, rtol=1e-9)
        alpha, sigma = schedule.alpha(table.t), schedule.sigma(table.t)
        middle = schedule.alpha(table.t_mid), schedule.sigma(table.t_mid)
        np.testing.assert_allclose(table.mid_a * alpha + table.mid_b, middle[0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(table.mid_a * sigma, middle[1], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(table.a * alpha + table.b, alpha_end, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose((table.a * sigma) ** 2 + noise**2, sigma_end**2, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("label", SCHEDULES)
@pytest.mark.parametrize("name", grids.GRIDS)
def test_the_network_is_called_as_often_as_is_said_and_not_at_the_clean_end(name, label):
    schedule = SCHEDULES[label]
    times = grids.make(name, schedule, 7)
    first = int(schedule.ends_in_noise)
    expected = {"heun": 7 + 6 - first, "flow_heun": 7 + 6, "dpmpp_2s": 7 + 6 - first}
    for sampler in samplers.SAMPLERS:
        table = samplers.table(sampler, schedule, times)
        assert samplers.calls(table) == expected.get(sampler, 7), sampler
        assert np.all(table.t > 0)
        if isinstance(table, tables.TwoCalls):
            assert np.all(table.t_mid[table.change != 0] > 0)


@pytest.mark.parametrize(("name", "option"), CHOICES)
def test_noise_is_drawn_by_stochastic_samplers_alone(name, option):
    schedule = SCHEDULES["flow"]
    table = samplers.table(name, schedule, grids.make("trailing", schedule, 5), option)
    made = samplers.SAMPLERS[name]
    given_option = made.default if option is None else option
    assert samplers.is_stochastic(table) == (name == "ddpm" or given_option > 0)


def test_a_number_that_a_sampler_does_not_take_is_refused():
    with pytest.raises(ValueError, match="neither eta nor churn"):
        samplers.table("dpmpp_2m", SCHEDULES["flow"], np.array([1.0, 0.0]), 0.5)


def test_names_for_one_method_are_one_table():
    schedule = SCHEDULES["linear"]
    times = grids.make("log_snr", schedule, 6)
    for one, other in (("ddim", "euler"), ("ddim", "flow_euler"), ("ddpm", "euler_ancestral"), ("dpmpp_2m", "unip_2")):
        for a, b in zip(*(samplers.table(name, schedule, times) for name in (one, other)), strict=True):
            np.testing.assert_array_equal(a, b)
    without = samplers.table("dpmpp_2m_sde", schedule, times, 0.0)
    np.testing.assert_allclose(without.past, samplers.table("dpmpp_2m", schedule, times).past)


@given(st.integers(1, 4), st.floats(-3.0, 3.0), st.floats(0.05, 2.0), st.integers(0, 2**31 - 1))
def test_lagrange_weights_integrate_polynomials_exactly(order, rate, step, seed):
    rng = np.random.default_rng(seed)
    nodes = -np.cumsum(rng.uniform(0.3, 1.0, order))
    start, end = nodes[0], nodes[0] + step
    fine = np.linspace(start, end, 20_001)
    density = np.exp(rate * (fine - end))
    for power in range(order):
        mean = np.trapezoid(density * fine**power, fine) / np.trapezoid(density, fine)
        found = multistep.lagrange(nodes, start, end, rate) @ nodes**power
        np.testing.assert_allclose(found, mean, rtol=1e-6, atol=1e-6)
