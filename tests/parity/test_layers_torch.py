"""The network's pieces against PyTorch's and diffusers' own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dfjax.models import attention, layers

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_attention_with_padded_keys():
    query, key, value = (_normal(3, 7, 2, 8, seed=i) for i in range(3))
    mask = np.arange(7) < np.array([[7], [4], [1]])
    ours = attention.attend(*map(jnp.asarray, (query, key, value)), jnp.asarray(mask), kernel="xla")
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(torch.tensor(x).transpose(1, 2) for x in (query, key, value)), attn_mask=torch.tensor(mask)[:, None, None, :]
    )
    np.testing.assert_allclose(ours, theirs.transpose(1, 2).numpy(), atol=1e-5)


def test_root_mean_square_norm():
    x = _normal(4, 5, 32) * 3
    np.testing.assert_allclose(
        layers.rms(jnp.asarray(x)), torch.nn.functional.rms_norm(torch.tensor(x), (32,), eps=1e-6).numpy(), atol=1e-5
    )


def test_gated_mlp():
    mlp = layers.GatedMlp(8, 24, tokens="all", dtype=jnp.float32, rngs=nnx.Rngs(0))
    gate, up, down = (torch.tensor(np.asarray(layer.kernel[...])) for layer in (mlp.gate, mlp.up, mlp.down))
    x = _normal(2, 5, 8)
    theirs = (torch.nn.functional.silu(torch.tensor(x) @ gate) * (torch.tensor(x) @ up)) @ down
    np.testing.assert_allclose(mlp(jnp.asarray(x)), theirs.numpy(), atol=1e-5)


def test_rotary_positions():
    embeddings = pytest.importorskip(
        "diffusers.models.embeddings", reason="parity tests need diffusers: pip install 'dfjax[parity]'"
    )
    x = _normal(2, 9, 3, 8)
    waves = embeddings.get_1d_rotary_pos_embed(8, torch.arange(9), use_real=True, repeat_interleave_real=False)
    theirs = embeddings.apply_rotary_emb(torch.tensor(x).transpose(1, 2), waves, use_real_unbind_dim=-2)
    ours = layers.rotate(jnp.asarray(x), layers.line_angles(9, 8))
    np.testing.assert_allclose(ours, theirs.transpose(1, 2).numpy(), atol=1e-5)


def test_gradients_of_attention():
    query, key, value, out = (_normal(2, 5, 2, 4, seed=i) for i in range(4))
    ours = jax.grad(lambda q: jnp.sum(attention.attend(q, key, value, None, kernel="xla") * out))(jnp.asarray(query))
    leaf = torch.tensor(query, requires_grad=True)
    attended = torch.nn.functional.scaled_dot_product_attention(
        leaf.transpose(1, 2), torch.tensor(key).transpose(1, 2), torch.tensor(value).transpose(1, 2)
    )
    (attended.transpose(1, 2) * torch.tensor(out)).sum().backward()
    np.testing.assert_allclose(ours, leaf.grad.numpy(), atol=1e-5)
