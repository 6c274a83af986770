"""The optimizer against PyTorch's, on a toy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfjax.models.parameters import Description
from dfjax.training import optim
from tests import small

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")

VALUES = {
    "optim.learning_rate": 0.03,
    "optim.warmup_steps": 5,
    "optim.weight_decay": 0.1,
    "optim.clip_norm": 0.7,
    "optim.beta2": 0.95,
    "train.num_steps": 40,
}
DESCRIBED = {"layer/kernel": Description((None, None), decays=True), "layer/bias": Description((None,))}


def test_clipped_adamw_with_a_schedule_goes_the_same_way():
    rng = np.random.default_rng(0)
    kernel, bias, matrix = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(8, 4))
    config = small.config(VALUES)
    optimizer, rate = optim.make(config, DESCRIBED), optim.learning_rate(config)

    params = {"layer": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}}
    state = optimizer.init(params)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.tanh(matrix @ p["layer"]["kernel"] + p["layer"]["bias"]) ** 2)))

    their_kernel, their_bias = (torch.tensor(x, dtype=torch.float32, requires_grad=True) for x in (kernel, bias))
    groups = [{"params": [their_kernel], "weight_decay": 0.1}, {"params": [their_bias], "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.03, betas=(0.9, 0.95))
    for step in range(40):
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)

        theirs.zero_grad()
        (torch.tanh(torch.tensor(matrix, dtype=torch.float32) @ their_kernel + their_bias) ** 2).sum().backward()
        torch.nn.utils.clip_grad_norm_([their_kernel, their_bias], 0.7)
        for group in theirs.param_groups:
            group["lr"] = float(rate(step))
        theirs.step()
    assert float(np.abs(params["layer"]["kernel"] - kernel).max()) > 0.1
    np.testing.assert_allclose(params["layer"]["kernel"], their_kernel.detach(), atol=2e-4)
    np.testing.assert_allclose(params["layer"]["bias"], their_bias.detach(), atol=2e-4)
