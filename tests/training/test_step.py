"""The training step on one device; tests/multidevice compares it with eight."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfjax.core import trees
from dfjax.objective import diffusion, port
from dfjax.training import state as state_lib
from dfjax.training import step
from tests import small

VALUES = {"optim.learning_rate": 3e-3, "optim.decay": "none", "optim.ema_decay": 0.5, "train.num_steps": 60}
ROWS = jnp.arange(16, dtype=jnp.int32)


def _draw(values=None, number=0, attempt=0):
    config = small.config(values)
    keys = port.Keys(config.train.seed, jnp.int32(number), jnp.int32(attempt), ROWS, config.train.batch_size)
    return diffusion.make(config).draw(keys, (4, 4, 3))


def test_each_step_attempt_and_seed_has_draws_of_its_own():
    first = _draw()
    for other in (_draw(number=1), _draw(attempt=1), _draw({"train.seed": 1})):
        assert not np.intersect1d(np.asarray(first.eps), np.asarray(other.eps)).size
        assert not np.intersect1d(np.asarray(first.t), np.asarray(other.t)).size
    np.testing.assert_array_equal(_draw().eps, first.eps)


def test_no_two_rows_share_their_noise():
    assert len(np.unique(_draw().eps[:, 0, 0, 0])) == 16


def test_levels_follow_the_wanted_density():
    flat = _draw({"diffusion.timesteps": "uniform"}).t
    np.testing.assert_allclose(np.diff(np.sort(flat)), 1 / 16, atol=1e-6)
    noisy = _draw({"diffusion.timestep_mean": 3.0}).t
    assert float(noisy.mean()) > 0.9


@pytest.mark.parametrize(("share", "dropped"), [(0.0, 0), (1.0, 16)])
def test_captions_are_dropped_in_the_wanted_share(share, dropped):
    assert int(_draw({"diffusion.caption_dropout": share}).dropped.sum()) == dropped


@pytest.fixture(scope="module")
def trained():
    """States and metrics of sixty steps on one batch."""
    state, take = small.started(small.network(VALUES))
    batch, states, metrics = small.batch(), [], []
    for _ in range(60):
        # A copy on the host: the step is donated the state.
        states.append(jax.device_get(state))
        state, values = take(state, batch)
        metrics.append(jax.device_get(values))
    return states, metrics, take


def test_the_loss_falls(trained):
    _, metrics, _ = trained
    losses = [values["loss"] for values in metrics]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    assert set(metrics[0]) == {"loss", "grad_norm", "param_norm", "skipped", "skipped_in_a_row", "finite", "scalars"}


def test_the_step_counts_and_compiles_once(trained):
    states, _, take = trained
    assert [int(state.step) for state in states[:3]] == [0, 1, 2]
    assert take._cache_size() == 1


def test_the_average_follows_the_parameters(trained):
    states, _, _ = trained
    before, after = states[20], states[21]
    for name, leaf in trees.named_leaves(after.ema).items():
        wanted = 0.5 * trees.named_leaves(before.ema)[name] + 0.5 * trees.named_leaves(after.params)[name]
        np.testing.assert_allclose(leaf, wanted, atol=1e-6, err_msg=name)


def test_a_new_state_averages_its_own_parameters(trained):
    first = trained[0][0]
    jax.tree.map(np.testing.assert_array_equal, first.ema, first.params)
    assert {leaf.dtype for leaf in jax.tree.leaves(first.params)} == {np.dtype("float32")}


@pytest.mark.long
def test_a_learned_variance_finds_the_loss_and_leaves_the_reported_one_as_it_is():
    values = VALUES | {"diffusion.learned_variance": True, "diffusion.loss": "edm", "optim.learning_rate": 0.03}
    network = small.network(values)
    params = small.params(network)
    params["log_variance"] = jax.tree.map(jnp.zeros_like, params["log_variance"])
    optimizer, batch = small.optimizer(network), small.batch()
    rows = jnp.arange(16, dtype=jnp.int32)

    def state(number, params):
        return state_lib.TrainState(jnp.int32(number), jnp.int32(0), params, params, optimizer.init(params), {})

    # Only the head is trained: at its best it is the logarithm of the mean loss.
    descent = optax.adam(0.02)

    @jax.jit
    def take(number, head, moments):
        means, gradients = step.loss_and_gradients(
            network, network.denoiser, state(number, params | {"log_variance": head}), batch, rows
        )
        updates, moments = descent.update(gradients["log_variance"], moments)
        return means["loss"], optax.apply_updates(head, updates), moments

    other = small.network({k: v for k, v in values.items() if k != "diffusion.learned_variance"})
    plain = {name: leaf for name, leaf in params.items() if name != "log_variance"}
    expected, _ = step.loss_and_gradients(other, other.denoiser, state(0, plain), batch, rows)
    head, moments, losses = params["log_variance"], descent.init(params["log_variance"]), []
    for number in range(150):
        loss, head, moments = take(number, head, moments)
        losses.append(float(loss))
    assert losses[0] == pytest.approx(float(expected["loss"]), rel=1e-5)
    t = _draw(values).t
    learned = network.denoiser.log_variance(params | {"log_variance": head}, t)
    assert float(jnp.mean(learned)) == pytest.approx(np.log(np.mean(losses)), abs=0.15)
