"""No NaN and no infinity: any choice that is admitted, at both ends, with networks that answer in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core.registry import LOSSES
from dfjax.diffusion import grids, loss, prediction, samplers, timesteps
from dfjax.diffusion.weighting import Weighting
from tests.analytic.choices import PAIRS, SCHEDULES
from tests.diffusion.test_solvers import CHOICES

SHAPE = (8, 2, 2, 3)
# The outermost numbers that a density gets, with both ends of time themselves.
U = np.array([2.0**-25, 1e-4, 0.1, 0.5, 0.9, 1 - 2.0**-24], np.float32)
MADE = {
    "uniform": lambda schedule: timesteps.uniform(U),
    "logit_normal": lambda schedule: timesteps.logit_normal(U, 10.0, 10.0),
    "logit_normal, low": lambda schedule: timesteps.logit_normal(U, -10.0, 10.0),
    "log_normal": lambda schedule: timesteps.log_normal(U, 10.0, 10.0, schedule),
    "log_normal, low": lambda schedule: timesteps.log_normal(U, -10.0, 10.0, schedule),
    "mode": lambda schedule: timesteps.mode(U, 1.75),
    "mode, low": lambda schedule: timesteps.mode(U, -1.0),
    "cosine_mapped": lambda schedule: timesteps.cosine_mapped(U),
}
sizes = st.sampled_from([0.0, 1e-3, 1.0, 30.0])
constants = st.builds(
    Weighting,
    loss=st.sampled_from(sorted(LOSSES)),
    floor=st.sampled_from([1e-6, 0.05, 0.5]),
    data_std=st.sampled_from([0.01, 0.5, 10.0]),
    min_snr_gamma=st.sampled_from([1e-3, 5.0, 1e6]),
    sigmoid_bias=st.sampled_from([-20.0, 0.0, 20.0]),
    p2_gamma=st.sampled_from([0.0, 0.5, 1.0, 10.0]),
)


def _loss(output, kind, label, t, weighting):
    """The mean loss of a network that answers ``output`` in bfloat16."""
    x0 = jnp.clip(jax.random.normal(jax.random.key(0), SHAPE), -1, 1).astype(jnp.bfloat16).astype(jnp.float32)
    losses = loss.per_example(
        lambda z, t: output.astype(jnp.bfloat16),
        x0,
        jax.random.normal(jax.random.key(1), SHAPE),
        t,
        schedule=SCHEDULES[label],
        prediction=kind,
        weighting=weighting,
    )
    return jnp.mean(losses)


def _check_loss(kind, label, density, weighting, size):
    t = jnp.concatenate([MADE[density](SCHEDULES[label]), jnp.array([0.0, 1.0])])
    output = size * jax.random.normal(jax.random.key(2), SHAPE)
    value, slope = jax.value_and_grad(_loss)(output, kind, label, t, weighting)
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(("kind", "label"), PAIRS)
def test_the_loss_and_its_gradient_are_finite(kind, label):
    """That all weights are is in test_weighting.py."""
    _check_loss(kind, label, "uniform", Weighting("constant"), 1.0)


@given(st.sampled_from(PAIRS), st.sampled_from(sorted(MADE)), constants, sizes)
def test_so_they_are_with_any_weight_constants_and_levels(pair, density, weighting, size):
    _check_loss(*pair, density, weighting, size)


@given(st.sampled_from(PAIRS), sizes, st.sampled_from([0.01, 0.5, 10.0]))
def test_a_prediction_in_bfloat16_is_a_finite_picture_at_any_level(pair, size, data_std):
    kind, label = pair
    t = jnp.array([0.0, 1e-30, 1e-6, 1e-3, 0.5, 1 - 1e-3, 1 - 2.0**-24, 1.0])[:, None, None, None]
    alpha, sigma = SCHEDULES[label].alpha(t), SCHEDULES[label].sigma(t)
    output = (size * jax.random.normal(jax.random.key(0), SHAPE)).astype(jnp.bfloat16)
    x = prediction.to_x0(kind, output, jax.random.normal(jax.random.key(1), SHAPE), alpha, sigma, data_std)
    assert np.all(np.isfinite(x))
    assert np.all(np.isfinite(prediction.input_scale(kind, SCHEDULES[label].frame, alpha, sigma, data_std)))


def _run(name, option, label, kind, grid, steps):
    """A sampler's whole run, with a network that answers nonsense of its own size in bfloat16."""
    schedule = SCHEDULES[label]
    table = samplers.table(name, schedule, grids.make(grid, schedule, steps), option)

    def denoise(z, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        scale = prediction.input_scale(kind, schedule.frame, alpha, sigma)
        output = jnp.tanh((scale * z).astype(jnp.bfloat16))
        return jnp.clip(prediction.to_x0(kind, output, z, alpha, sigma), -1.0, 1.0)

    start = schedule.sigma(np.ones((), np.float32)) * jax.random.normal(jax.random.key(0), SHAPE)
    return samplers.solve(table, denoise, start, lambda i: jnp.ones(SHAPE), film=True)


@given(
    st.sampled_from(CHOICES),
    st.sampled_from(PAIRS),
    st.sampled_from(sorted(grids.GRIDS)),
    st.sampled_from([1, 2, 3, 10]),
)
def test_states_and_pictures_are_finite(choice, pair, grid, steps):
    kind, label = pair
    end, film = _run(*choice, label, kind, grid, steps)
    assert np.all(np.isfinite(film))
    assert np.all(np.abs(end) < 100)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_the_shortest_runs_from_pure_noise_are_finite(name, steps):
    end, film = _run(name, None, "flow", "x0", "trailing", steps)
    assert np.all(np.isfinite(film))
    assert np.all(np.abs(end) <= (1.0 + 1e-5 if steps == 1 else 10.0))
