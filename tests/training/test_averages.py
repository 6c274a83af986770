"""The power-function averages that training keeps, against a brute-force average over stored parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.diffusion import averaging
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import optim
from dfjax.training import state as state_lib
from tests import small

STDS = (0.05, 0.1)
STEPS = 30
VALUES = {"optim.ema_stds": STDS, "optim.learning_rate": 3e-3, "optim.decay": "none"}


@pytest.fixture(scope="module")
def run():
    """The state before the first of thirty steps, the parameters after each, and the state after the last."""
    state, take = small.started(small.network(VALUES))
    first, batch, params = jax.device_get(state), small.batch(), []
    for _ in range(STEPS):
        state, _ = take(state, batch)
        params.append(jax.device_get(state.params))
    return first, params, jax.device_get(state)


def _brute_force(params, std):
    """The average in float64, by the weights that the definition gives."""
    weights = np.diff((np.arange(STEPS + 1) / STEPS) ** (averaging.power_gamma(std) + 1))
    return jax.tree.map(lambda *leaves: np.tensordot(weights, np.stack(leaves).astype(np.float64), 1), *params)


def _distance(tree, other):
    """The largest difference of any scalar."""
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), tree, other)
    return float(max(jax.tree.leaves(differences)))


@pytest.mark.parametrize("std", STDS)
def test_the_tracked_average_is_the_brute_force_average(std, run):
    _, params, last = run
    tracked = last.averages[str(std)]
    assert jax.tree.structure(tracked) == jax.tree.structure(last.params)
    assert {leaf.dtype for leaf in jax.tree.leaves(tracked)} == {np.dtype("float32")}
    assert _distance(tracked, _brute_force(params, std)) < 1e-6
    # Or the comparison would compare nothing.
    assert _distance(tracked, last.params) > 1e-3


@pytest.mark.parametrize(
    "fault",
    [lambda n, gamma: (n + 1, gamma), lambda n, gamma: (n, gamma + 1), lambda n, gamma: (n, gamma - 1), None],
    ids=["a step late", "gamma of the next power", "gamma of the power before", "no fault"],
)
def test_a_planted_fault_is_seen(fault, run, monkeypatch):
    first, params, _ = run
    share = averaging.power_share
    if fault:
        monkeypatch.setattr(averaging, "power_share", lambda n, gamma: share(*fault(n, gamma)))
    # A function of this test's own: compiled ones are kept by function, and would be without the fault or with it.
    update = jax.jit(lambda average, params, n: averaging.power_update(average, params, n, 0.05))
    average = first.averages["0.05"]
    for n, tree in enumerate(params, 1):
        average = update(average, tree, jnp.int32(n))
    distance = _distance(average, _brute_force(params, 0.05))
    assert distance > 1e-5 if fault else distance < 1e-6


def test_averages_are_kept_only_where_the_config_names_lengths(run):
    assert set(run[0].averages) == {"0.05", "0.1"}
    mesh = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
    network = small.denoiser()
    optimizer = optim.make(small.config(), network.described)
    assert state_lib.abstract(network, optimizer, mesh).averages == {}
