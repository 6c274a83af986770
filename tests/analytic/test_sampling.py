"""Every sampler and schedule gives the data's distribution back, from the exact denoiser and 65,536 starts."""

import functools

import jax
import numpy as np
import pytest

from dfjax.diffusion import grids, samplers
from dfjax.diffusion.tables import Table
from tests.analytic.choices import SCHEDULES, Levels, discrete_steps, levels
from tests.analytic.gaussian import GAUSSIAN, MIXTURE, Data

N = 65_536
DATA = {"gaussian": GAUSSIAN, "mixture": MIXTURE}
LABELS = (
    "flow",
    "cosine",
    "linear",
    "scaled_linear",
    "edm",
    "flow, shift 3",
    "scaled_linear, 1000 levels, zero terminal",
)

# Steps, and the discretisation bias at these, beyond 4 standard errors: of the mean in standard deviations, of the
# covariance as a share of itself, of the energy distance as its root. It is a quarter above the largest measured, at
# least 0.01, on a grid even in log-SNR between sigma/alpha = 20 and 0.02; how it falls with steps is in test_orders.py.
BIAS = {
    ("ddpm", None): (32, 0.03, 0.25, 0.06),
    ("ddim", None): (32, 0.01, 0.15, 0.03),
    ("ddim", 0.5): (32, 0.01, 0.18, 0.04),
    ("euler", None): (32, 0.01, 0.15, 0.03),
    ("flow_euler", None): (32, 0.01, 0.15, 0.03),
    ("euler_ancestral", None): (32, 0.03, 0.25, 0.06),
    ("heun", None): (12, 0.01, 0.15, 0.04),
    ("heun", 10.0): (12, 0.01, 0.28, 0.06),
    ("flow_heun", None): (12, 0.01, 0.03, 0.01),
    ("dpmpp_2s", None): (12, 0.01, 0.08, 0.01),
    ("dpmpp_2m", None): (16, 0.01, 0.04, 0.01),
    ("dpmpp_3m", None): (16, 0.01, 0.02, 0.01),
    ("dpmpp_2m_sde", None): (16, 0.01, 0.05, 0.02),
    ("unip_2", None): (16, 0.01, 0.04, 0.01),
    ("unip_3", None): (16, 0.01, 0.02, 0.01),
    ("unipc_1", None): (16, 0.01, 0.12, 0.02),
    ("unipc_2", None): (16, 0.01, 0.03, 0.01),
    ("unipc_3", None): (16, 0.01, 0.03, 0.01),
    ("deis_2", None): (16, 0.01, 0.09, 0.01),
    ("deis_3", None): (16, 0.01, 0.05, 0.01),
    ("lms_2", None): (16, 0.01, 0.10, 0.03),
    ("lms_3", None): (16, 0.01, 0.06, 0.02),
    ("lms_4", None): (16, 0.01, 0.05, 0.01),
    ("angle_3", None): (16, 0.01, 0.02, 0.01),
}


@functools.partial(jax.jit, static_argnames="data")
def _solve(table: Table, levels: Levels, z, key, data: str):
    def denoise(z, t):
        return DATA[data].estimate(z, *levels.at(t))[0]

    def noise(step):
        return jax.random.normal(jax.random.fold_in(key, step), z.shape)

    return samplers.solve(table, denoise, z, noise)[0]


@functools.cache
def _start(data: str, label: str) -> np.ndarray:
    """The exact marginal at t = 1, where nothing or a little of the data is left."""
    rng, one = np.random.default_rng(1), np.ones(())
    x = DATA[data].sample(rng, N)
    z = SCHEDULES[label].alpha(one) * x + SCHEDULES[label].sigma(one) * rng.normal(size=x.shape)
    return z.astype(np.float32)


def _table(name: str, option: float | None, label: str) -> Table:
    schedule, known = SCHEDULES[label], discrete_steps(label)
    # With 1,000 levels there are few below sigma/alpha = 0.05.
    ends = grids.Ends(0.05 if known else 0.02, 20.0)
    steps, *_ = BIAS[name, option]
    return samplers.table(name, schedule, grids.make("log_snr", schedule, steps, ends, known), option)


def _energy(data: Data, x: np.ndarray) -> float:
    """The energy distance of samples [n, 2] to the data, estimated without bias.

    In one dimension it is twice the integral of (F_n - F)^2; in two, pi/2 times the mean of that over directions.
    """
    edges, angles = np.linspace(-4.0, 4.0, 2001), np.pi * np.arange(8) / 8
    distances = []
    for direction in np.stack([np.cos(angles), np.sin(angles)], 1):
        place = np.clip(np.ceil((x @ direction - edges[0]) / (edges[1] - edges[0])), 0, len(edges)).astype(int)
        share = np.cumsum(np.bincount(place, minlength=len(edges) + 1))[:-1] / len(x)
        exact = data.below(direction, edges)
        chance = exact * (1 - exact) / len(x)
        distances.append(2 * ((share - exact) ** 2 - chance).sum() * (edges[1] - edges[0]))
    return float(np.pi / 2 * np.mean(distances))


@functools.cache
def _energy_error(data: str) -> float:
    """The standard error of that estimate, from samples of the data."""
    exact = [DATA[data].sample(np.random.default_rng(seed), N).reshape(N, -1) for seed in range(8)]
    return float(np.std([_energy(DATA[data], x) for x in exact]))


def _biases(data: str, x: np.ndarray) -> np.ndarray:
    """What mean, covariance and energy distance are off by, beyond 4 standard errors."""
    whitened = (x - DATA[data].mean) @ np.linalg.inv(np.linalg.cholesky(DATA[data].cov)).T
    products = whitened[:, :, None] * whitened[:, None, :]

    def beyond(values, exact):
        return float(np.max(np.abs(values.mean(0) - exact) - 4 * values.std(0) / N**0.5))

    # The root of the energy distance is a metric: its biases add up at most.
    energy = max(_energy(DATA[data], x), 0.0) ** 0.5 - (4 * _energy_error(data)) ** 0.5
    return np.array([beyond(whitened, 0.0), beyond(products, np.eye(x.shape[1])), energy])


_DRAWN: dict = {}


def _drawn_biases(table: Table, data: str, label: str) -> np.ndarray:
    """Those of 65,536 samples; samplers with the same table share them."""
    key = (data, label, type(table), *(column.tobytes() if column is not None else None for column in table))
    if key not in _DRAWN:
        rows = jax.tree.map(lambda column: column.astype(np.float32), table)
        drawn = _solve(rows, levels(table, label), _start(data, label), jax.random.key(2), data)
        _DRAWN[key] = _biases(data, np.asarray(drawn, np.float64).reshape(N, -1))
    return _DRAWN[key]


def _is_off(name: str, option: float | None, biases: np.ndarray) -> bool:
    return bool(np.any(biases > BIAS[name, option][1:]))


@pytest.mark.gate(label=LABELS[:1])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("name", "option"), BIAS)
def test_a_sampler_returns_the_datas_distribution(name, option, label, data):
    biases = _drawn_biases(_table(name, option, label), data, label)
    assert not _is_off(name, option, biases), biases


def test_every_sampler_is_here():
    assert {name for name, _ in BIAS} == set(samplers.SAMPLERS)


def _told_the_next_level(table: Table) -> Table:
    """In each of its calls."""
    columns = {name: getattr(table, name) for name in ("t", "t_mid") if hasattr(table, name)}
    return table._replace(**{name: np.append(column[1:], column[-1:]) for name, column in columns.items()})


FAULTS = {
    "told the next level": ("t", _told_the_next_level),
    "too little noise": ("noise", lambda table: table._replace(noise=0.8 * table.noise)),
    "past added": ("past", lambda table: table._replace(past=-table.past)),
    "change taken back": ("change", lambda table: table._replace(change=-table.change)),
    "both calls at one level": ("t_mid", lambda table: table._replace(t_mid=table.t)),
    "too little churn": ("lift_noise", lambda table: table._replace(lift_noise=0.8 * table.lift_noise)),
}


def _has(table: Table, column: str) -> bool:
    """Whether there is something to get wrong."""
    value = getattr(table, column, None)
    return value is not None and bool(np.any(value))


PLANTED = [(*key, fault) for key in BIAS for fault, (column, _) in FAULTS.items() if _has(_table(*key, "flow"), column)]


@pytest.mark.parametrize(("name", "option", "fault"), PLANTED)
def test_a_planted_fault_is_seen(name, option, fault):
    table = FAULTS[fault][1](_table(name, option, "flow"))
    assert any(_is_off(name, option, _drawn_biases(table, data, "flow")) for data in DATA)
