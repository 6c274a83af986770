"""The order of every solver, measured on a mixture in float64 against the exact flow, away from the singular ends."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import pytest

from dfjax.diffusion import samplers
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.tables import Multistep, Table, TwoCalls
from tests.analytic.choices import SCHEDULES, Levels, levels
from tests.analytic.gaussian import MIXTURE

# Of deterministic samplers, with an exact start; and with their own, which is of first order in its first step.
ORDERS = {
    "ddim": 1,
    "euler": 1,
    "flow_euler": 1,
    "heun": 2,
    "flow_heun": 2,
    "dpmpp_2s": 2,
    "dpmpp_2m": 2,
    "dpmpp_3m": 3,
    "unip_2": 2,
    "unip_3": 3,
    "unipc_1": 2,
    "unipc_2": 3,
    "unipc_3": 4,
    "deis_2": 2,
    "deis_3": 3,
    "lms_2": 2,
    "lms_3": 3,
    "lms_4": 4,
    "angle_3": 4,
}
FIRST, LAST = 3.0, 0.3  # sigma/alpha
STEPS = (48, 72, 108, 162)
BEFORE = 4  # levels before the first, whose values an exact start knows


@jax.jit
def _solve(table, levels: Levels, z, memory):
    return samplers.solve(table, lambda z, t: MIXTURE.estimate(z, *levels.at(t))[0], z, memory=memory)[0]


@functools.cache
def _exact(end: float) -> np.ndarray:
    """z/alpha of 64 pictures at sigma/alpha = FIRST, taken to another level by the exact flow."""
    rng = np.random.default_rng(0)
    x = MIXTURE.sample(rng, 64)
    return MIXTURE.flow(x + FIRST * rng.normal(size=x.shape), FIRST, end)


def _ratios(steps: int) -> np.ndarray:
    """Levels from FIRST to LAST, and some before: closer near the picture, as in use."""
    power = 1 / 3
    size = (LAST**power - FIRST**power) / steps
    return (FIRST**power + size * np.arange(-BEFORE, steps + 1)) ** (1 / power)


def _padded(table, steps: int):
    """With more rows that change nothing, so that all step counts are one compilation."""
    nothing = {"a": 1.0, "t": table.t[-1], "t_mid": table.t[-1], "mid_a": 1.0}

    def pad(name, column):
        rest = np.full((steps - len(column), *column.shape[1:]), nothing.get(name, 0.0))
        return np.concatenate([column, rest])

    columns = table._asdict().items()
    return type(table)(**{name: None if column is None else pad(name, column) for name, column in columns})


def _known(table: Multistep, schedule: Schedule, ratios: np.ndarray) -> np.ndarray:
    """The values of the steps before, newest first, from the exact flow."""
    values = []
    for row in range(BEFORE - 1, BEFORE - 1 - table.memory, -1):
        t = schedule.time(ratios[row].reshape(1, 1, 1, 1))
        z = schedule.alpha(t) * _exact(float(ratios[row]))
        x = MIXTURE.estimate(z, schedule.alpha(t), schedule.sigma(t))[0]
        values.append(x if table.of_z is None else table.of_z[row] * z + table.of_x[row] * x)
    return np.array(values).reshape(table.memory, *_exact(FIRST).shape)


def _from_exact_start(table: Table, schedule: Schedule, ratios: np.ndarray):
    """The table's rows from FIRST on, and what they remember."""
    rest = jax.tree.map(lambda column: column[BEFORE:].copy(), table)
    if isinstance(table, TwoCalls):
        return rest, None
    if rest.correct is not None:
        rest.correct[0] = 0.0  # The exact state needs none.
    return rest, _known(table, schedule, ratios)


def _errors(name: str, label: str, own_start: bool = False, plant: Callable[[Table], Table] = lambda table: table):
    """Root mean square errors of z/alpha at the end, for each number of steps."""
    schedule, errors = SCHEDULES[label], []
    for steps in STEPS:
        ratios = _ratios(steps)
        table = plant(samplers.table(name, schedule, schedule.time(ratios[BEFORE if own_start else 0 :])))
        memory = np.zeros((table.memory, *_exact(FIRST).shape)) if isinstance(table, Multistep) else None
        if not own_start:
            table, memory = _from_exact_start(table, schedule, ratios)
        first, last = (float(schedule.alpha(schedule.time(np.asarray(ratio)))) for ratio in (FIRST, LAST))
        table = _padded(table, STEPS[-1])
        with jax.enable_x64(True):
            end = _solve(table, levels(table, label, np.float64), first * _exact(FIRST), memory)
        assert end.dtype == np.float64
        errors.append(np.sqrt(np.mean((np.asarray(end) / last - _exact(LAST)) ** 2)))
    return np.array(errors)


def _slope(errors: np.ndarray, last: int = len(STEPS)) -> float:
    """That of the error's logarithm over the number of steps', with the sign turned."""
    return float(-np.polyfit(np.log(STEPS[-last:]), np.log(errors[-last:]), 1)[0])


@pytest.mark.parametrize("label", ["flow", "edm"])
@pytest.mark.parametrize("name", ORDERS)
def test_the_error_falls_with_the_solvers_order(name, label):
    assert _slope(_errors(name, label)) == pytest.approx(ORDERS[name], abs=0.2)


@pytest.mark.parametrize("name", ORDERS)
def test_its_own_start_leaves_second_order_and_the_corrector_the_whole(name):
    """A first step of first order is of second in the whole error, until its own estimate corrects it."""
    errors = _errors(name, "flow", own_start=True)
    if name.startswith(("unipc", "angle")) or ORDERS[name] <= 2:
        assert _slope(errors) == pytest.approx(ORDERS[name], abs=0.2)
    else:
        # Still small beside the rest at few steps, and more of it at many.
        assert 2 < _slope(errors, last=2) < ORDERS[name] - 0.2


FAULTS = {
    "past added": ("dpmpp_3m", lambda table: table._replace(past=-table.past)),
    "half of the past": ("dpmpp_2m", lambda table: table._replace(past=0.5 * table.past)),
    "oldest value forgotten": ("lms_4", lambda table: table._replace(past=table.past * [1, 1, 0])),
    "correction added": ("unipc_2", lambda table: table._replace(correct=-table.correct)),
    "no correction": ("unipc_3", lambda table: table._replace(correct=0 * table.correct)),
    "change taken back": ("heun", lambda table: table._replace(change=-table.change)),
    "both calls at one level": ("flow_heun", lambda table: table._replace(t_mid=table.t)),
    "told the next level": ("deis_2", lambda table: table._replace(t=np.append(table.t[1:], table.t[-1:]))),
    "weights of the step before": ("deis_3", lambda table: table._replace(past=np.roll(table.past, 1, axis=0))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_costs_the_order(fault):
    name, plant = FAULTS[fault]
    found = _slope(_errors(name, "flow", plant=plant))
    assert abs(found - ORDERS[name]) > 0.2, found
