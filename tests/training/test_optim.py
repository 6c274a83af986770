"""The optimizer and its learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfjax import assembly
from dfjax.config import ConfigError
from dfjax.core import trees
from dfjax.core.registry import OPTIMIZERS
from dfjax.models.parameters import LAYERS, Description
from dfjax.training import optim
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


def _described(params):
    """Matrices decay; those with an axis of layers are Muon's."""

    def one(name, leaf):
        is_layers = name.endswith("kernel") and leaf.ndim == 3
        axes = (LAYERS if is_layers else None, *[None] * (leaf.ndim - 1))
        return Description(axes, decays=name.endswith(("kernel", "embedding")), muon=is_layers)

    return {name: one(name, leaf) for name, leaf in trees.named_leaves(params).items()}


def _first_update(values, gradient):
    params = {"a": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}, "gain": jnp.full(2, 2.0)}
    optimizer = assembly.named_optimizer(
        small.config({"optim.warmup_steps": 0, "optim.learning_rate": 0.1} | values), _described(params)
    )
    gradients = {
        "a": {"kernel": jnp.full((2, 2), gradient), "bias": jnp.full(2, gradient)},
        "gain": jnp.full(2, gradient),
    }
    return optimizer.update(gradients, optimizer.init(params), params)[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_matrices_decay(name):
    updates = _first_update({"optim.name": name, "optim.weight_decay": 0.5}, 0.0)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.1 * 0.5 * 2.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["a"]["bias"], 0)
    np.testing.assert_array_equal(updates["gain"], 0)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    np.testing.assert_allclose(_first_update({}, 1e3)["a"]["kernel"], -0.1, rtol=1e-3)
    np.testing.assert_allclose(_first_update({}, -1e-3)["a"]["kernel"], 0.1, rtol=1e-3)


@pytest.mark.parametrize(("clip", "expected"), [(1.0, 1.0), (0.0, 800.0)])
def test_gradients_are_clipped_by_their_global_norm(clip, expected):
    params = {"a": {"kernel": jnp.zeros((4, 4))}}
    optimizer = assembly.named_optimizer(small.config({"optim.clip_norm": clip}), _described(params))
    state = optimizer.update({"a": {"kernel": jnp.full((4, 4), 200.0)}}, optimizer.init(params), params)[1]
    first_moment = state[-1][0].mu["a"]["kernel"]
    assert float(jnp.linalg.norm(first_moment)) == pytest.approx(0.1 * expected, rel=1e-5)


def _steps(values, params, gradients, count=1):
    """What each of ``count`` updates of an unclipped optimizer is, all with the same gradients."""
    plain = {"optim.clip_norm": 0.0, "optim.warmup_steps": 0, "optim.decay": "none", "optim.learning_rate": 0.01}
    optimizer = assembly.named_optimizer(small.config(plain | values), _described(params))
    state, updates = optimizer.init(params), []
    for _ in range(count):
        update, state = optimizer.update(gradients, state, params)
        updates.append(update)
    return updates


def _normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _rms(x):
    return float(jnp.sqrt(jnp.mean(jnp.square(x))))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_goes_down(name):
    inputs, wanted = _normal(64, 8), _normal(64, 4, seed=1)
    params = {
        "blocks": {"kernel": 0.3 * _normal(2, 8, 8, seed=2), "bias": jnp.zeros((2, 8))},
        "out": {"kernel": 0.3 * _normal(8, 4, seed=3)},
    }

    def loss(params):
        x = inputs
        for kernel, bias in zip(params["blocks"]["kernel"], params["blocks"]["bias"], strict=True):
            x = x + jnp.tanh(x @ kernel + bias)
        return jnp.mean((x @ params["out"]["kernel"] - wanted) ** 2)

    values = {"optim.name": name, "optim.learning_rate": 0.01, "train.num_steps": 60, "optim.weight_decay": 0.01}
    optimizer = assembly.named_optimizer(small.config(values), _described(params))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    before, state = loss(params), optimizer.init(params)
    for _ in range(60):
        params, state = step(params, state)
    assert loss(params) < 0.6 * before


@pytest.mark.parametrize(("name", "length"), [("adamw", 1), ("lion", 1), ("adafactor", 1), ("muon", 0.2)])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_step_is_about_as_long_as_the_learning_rate_whatever_the_gradient(name, length, scale):
    params = {"kernel": _normal(2, 160, 144, seed=1)}
    (update,) = _steps({"optim.name": name}, params, {"kernel": scale * _normal(2, 160, 144)})
    # Newton and Schulz's five steps leave singular values between 0.7 and 1.2.
    assert _rms(update["kernel"]) == pytest.approx(0.01 * length, rel=0.15)


@pytest.mark.gate(2)
@pytest.mark.parametrize("name", ["muon", "adafactor"])
@pytest.mark.parametrize("shape", [(3, 144, 160), (3, 16, 8), (200, 16, 144)], ids=str)
def test_layers_of_a_stacked_matrix_are_as_each_alone(name, shape):
    gradients, params = _normal(*shape), _normal(*shape, seed=1)
    # Of quite different size in each layer.
    gradients = gradients * jnp.arange(1.0, shape[0] + 1)[:, None, None] ** 2
    values = {"optim.name": name}
    if name == "adafactor":
        # Its limit of a step's length is over the whole parameter, so directions are compared.
        def directions(update):
            return update / jnp.linalg.norm(update, axis=(-2, -1), keepdims=True)
    else:
        directions = jnp.asarray
    for layer in {0, shape[0] - 1}:
        alone = (slice(layer, layer + 1), slice(None), slice(None))
        one = _steps(values, {"kernel": params[alone]}, {"kernel": gradients[alone]}, 2)
        all_of_them = _steps(values, {"kernel": params}, {"kernel": gradients}, 2)
        for whole, part in zip(all_of_them, one, strict=True):
            wanted = directions(part["kernel"])
            np.testing.assert_allclose(
                directions(whole["kernel"])[alone], wanted, atol=1e-4 * float(jnp.abs(wanted).max())
            )


def test_muon_makes_a_step_orthogonal():
    (update,) = _steps({"optim.name": "muon"}, {"kernel": jnp.zeros((2, 32, 48))}, {"kernel": _normal(2, 32, 48)})
    spectrum = jnp.linalg.svd(update["kernel"], compute_uv=False)
    wanted = 0.01 * 0.2 * np.sqrt(48)
    assert 0.6 * wanted < float(spectrum.min()) <= float(spectrum.max()) < 1.3 * wanted


def test_muon_leaves_all_but_the_matrices_of_layers_to_adamw():
    params = {
        "blocks": {"kernel": _normal(2, 8, 8), "bias": _normal(2, 8), "gain": _normal(2, 4, 1)},
        "patch_in": {"kernel": _normal(8, 8), "bias": _normal(8)},
        "text": {"embedding": _normal(16, 8)},
    }
    gradients = jax.tree.map(lambda x: x[::-1] + 0.1, params)
    muon, adamw = (
        _steps({"optim.name": name, "optim.weight_decay": 0.1}, params, gradients, 2)[-1] for name in ("muon", "adamw")
    )
    assert not np.allclose(muon["blocks"].pop("kernel"), adamw["blocks"].pop("kernel"), rtol=0.1)
    jax.tree.map(np.testing.assert_array_equal, muon, adamw)


def _bytes_for_each_parameter(name, params):
    optimizer = assembly.named_optimizer(small.config({"optim.name": name}), _described(params))
    state = jax.eval_shape(optimizer.init, params)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return size / sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("name", "wanted"), [("adamw", 8), ("lion", 4), ("muon", 4), ("adafactor", 0)])
def test_the_state_is_as_large_as_it_is_said_to_be(name, wanted):
    params = {"kernel": jax.ShapeDtypeStruct((24, 1024, 4096), jnp.float32)}
    assert _bytes_for_each_parameter(name, params) == pytest.approx(wanted, abs=0.01)


def test_adafactor_never_takes_a_mean_over_layers():
    params = {"kernel": jax.ShapeDtypeStruct((200, 160, 256), jnp.float32)}
    # 160 is shorter than 200: whole. 256 and 300 are longer: factored.
    assert _bytes_for_each_parameter("adafactor", params) == pytest.approx(4, abs=0.01)
    params = {"kernel": jax.ShapeDtypeStruct((200, 300, 256), jnp.float32)}
    assert _bytes_for_each_parameter("adafactor", params) < 0.05
