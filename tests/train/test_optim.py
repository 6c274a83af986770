"""The optimizer and its learning rate."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.config import ConfigError
from dfjax.train import optim
from tests import small

RATE = {"optim.learning_rate": 1.0, "optim.warmup_steps": 4, "train.num_steps": 20, "optim.decay_fraction": 0.5}


def _rates(values):
    schedule = optim.learning_rate(small.config(RATE | values))
    return np.array([float(schedule(step)) for step in range(21)])


def test_it_warms_up_holds_and_falls_in_a_line():
    rates = _rates({"optim.decay": "linear"})
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(rates[4:11], 1, rtol=1e-6)
    np.testing.assert_allclose(rates[10:], np.linspace(1, 0, 11), atol=1e-6)


def test_it_falls_as_a_cosine():
    rates = _rates({"optim.decay": "cosine"})
    np.testing.assert_allclose(rates[10:], (1 + np.cos(np.pi * np.arange(11) / 10)) / 2, atol=1e-6)


def test_it_holds_to_the_end_without_a_decay():
    np.testing.assert_allclose(_rates({"optim.decay": "none"})[4:], 1, rtol=1e-6)


def test_it_starts_at_its_peak_without_a_warm_up():
    assert _rates({"optim.warmup_steps": 0})[0] == pytest.approx(1)


def test_a_warm_up_that_runs_into_the_decay_is_refused():
    with pytest.raises(
        ConfigError, match=r"'optim\.warmup_steps': 11 .* starts at step 10; try --config\.optim\.warmup_steps=5"
    ):
        _rates({"optim.warmup_steps": 11})


def _first_update(values, gradient):
    params = {"a": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}, "gain": jnp.full(2, 2.0)}
    optimizer = optim.make(small.config({"optim.warmup_steps": 0, "optim.learning_rate": 0.1} | values))
    gradients = {
        "a": {"kernel": jnp.full((2, 2), gradient), "bias": jnp.full(2, gradient)},
        "gain": jnp.full(2, gradient),
    }
    return optimizer.update(gradients, optimizer.init(params), params)[0]


def test_only_matrices_decay():
    updates = _first_update({"optim.weight_decay": 0.5}, 0.0)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.1 * 0.5 * 2.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["a"]["bias"], 0)
    np.testing.assert_array_equal(updates["gain"], 0)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    np.testing.assert_allclose(_first_update({}, 1e3)["a"]["kernel"], -0.1, rtol=1e-3)
    np.testing.assert_allclose(_first_update({}, -1e-3)["a"]["kernel"], 0.1, rtol=1e-3)


@pytest.mark.parametrize(("clip", "expected"), [(1.0, 1.0), (0.0, 800.0)])
def test_gradients_are_clipped_by_their_global_norm(clip, expected):
    optimizer = optim.make(small.config({"optim.clip_norm": clip}))
    params = {"a": {"kernel": jnp.zeros((4, 4))}}
    state = optimizer.update({"a": {"kernel": jnp.full((4, 4), 200.0)}}, optimizer.init(params), params)[1]
    first_moment = state[-1][0].mu["a"]["kernel"]
    assert float(jnp.linalg.norm(first_moment)) == pytest.approx(0.1 * expected, rel=1e-5)
