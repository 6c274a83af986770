"""Attention: every kernel gives what the plain one gives, outputs and gradients, and refuses what it cannot do."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.config import ConfigError
from dfjax.models import attention

# The flash kernels as they run on a CPU: the same code, interpreted, or over XLA's products.
SPLASH = functools.partial(attention.splash, interpret=True)
CUDNN = functools.partial(attention.cudnn, implementation="xla")


def _arrays(q_tokens, k_tokens, *, batch=2, heads=2, head=64, dtype="float32"):
    """Query, key, value and the cotangent of the output."""
    shapes = [(batch, tokens, heads, head) for tokens in (q_tokens, k_tokens, k_tokens, q_tokens)]
    keys = jax.random.split(jax.random.key(0), 4)
    return [jax.random.normal(key, shape).astype(dtype) for key, shape in zip(keys, shapes, strict=True)]


def _padded(k_tokens, text, lengths):
    """The mask of captions of these lengths, padded to ``text`` tokens, in front of the image's."""
    position = jnp.arange(k_tokens)
    return (position < jnp.array(lengths)[:, None]) | (position >= text)


def _errors(kernel, arrays, mask):
    """The largest error of output and gradients, over the largest value of each, against plain attention in float32."""

    @functools.partial(jax.jit, static_argnums=0)
    def run(kernel, query, key, value, cotangent):
        out, pullback = jax.vjp(lambda *qkv: kernel(*qkv, mask), query, key, value)
        return {"out": out} | dict(zip(("dq", "dk", "dv"), pullback(cotangent), strict=True))

    ours = run(kernel, *arrays)
    exact = run(attention.plain, *(x.astype(jnp.float32) for x in arrays))
    return {name: float(jnp.max(jnp.abs(ours[name] - exact[name])) / jnp.max(jnp.abs(exact[name]))) for name in exact}


def _assert_agree(kernel, arrays, mask, tolerance):
    errors = _errors(kernel, arrays, mask)
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("kernel", [SPLASH, CUDNN, attention.plain, attention.checkpointed(attention.plain)])
def test_a_kernel_agrees_with_plain_attention(kernel, dtype, tolerance):
    # The first caption leaves a whole block of 128 keys empty.
    _assert_agree(kernel, _arrays(128, 384, dtype=dtype), _padded(384, 256, (1, 200)), tolerance)


@pytest.mark.parametrize("kernel", [SPLASH, CUDNN])
def test_a_kernel_agrees_without_a_mask(kernel):
    _assert_agree(kernel, _arrays(256, 128), None, 1e-5)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_splash_agrees_at_4352_tokens(dtype, tolerance):
    # One example and head: 256 tokens of text, 100 of them real, and 64 x 64 patches. In float32 dq has its own kernel.
    arrays = _arrays(4352, 4352, batch=1, heads=1, dtype=dtype)
    _assert_agree(SPLASH, arrays, _padded(4352, 256, (100,)), tolerance)


@pytest.mark.slow
def test_splash_agrees_where_gradients_of_queries_are_summed_over_blocks():
    blocks = attention._blocks(128, 4352, 2)
    assert blocks.use_fused_bwd_kernel
    assert blocks.block_kv_dkv < 4352
    _assert_agree(SPLASH, _arrays(128, 4352, batch=1, dtype="bfloat16"), _padded(4352, 256, (1,)), 2e-2)


@pytest.mark.parametrize("kernel", [attention.plain, SPLASH, CUDNN])
def test_a_masked_key_has_no_say_and_gets_no_gradient(kernel):
    query, key, value, cotangent = _arrays(128, 128, heads=1)
    mask = _padded(128, 64, (3, 64))

    def run(key, value):
        return kernel(query, key, value, mask)

    out, pullback = jax.vjp(run, key, value)
    padding = ~mask[..., None, None]
    np.testing.assert_allclose(run(key + 9.0 * padding, value + 9.0 * padding), out, atol=1e-6)
    for gradient in pullback(cotangent):
        np.testing.assert_array_equal(gradient * padding, jnp.zeros_like(gradient))
        assert jnp.max(jnp.abs(gradient)) > 0


def test_no_mask_is_a_mask_of_real_keys():
    arrays = _arrays(5, 7, head=8)[:3]
    everything = attention.plain(*arrays, jnp.ones((2, 7), bool))
    np.testing.assert_allclose(attention.plain(*arrays, None), everything, atol=1e-6)


def test_attend_runs_the_kernel_that_is_named():
    arrays = _arrays(5, 7, head=8)[:3]
    np.testing.assert_array_equal(attention.attend(*arrays, None, kernel="xla"), attention.plain(*arrays, None))
    with pytest.raises(KeyError):
        attention.attend(*arrays, None, kernel="auto")


@pytest.mark.parametrize(("checkpointed", "matrices"), [(False, True), (True, False)])
def test_checkpointed_attention_keeps_no_matrix_of_scores(checkpointed, matrices):
    kernel = attention.checkpointed(attention.plain) if checkpointed else attention.plain
    query, key, value, _ = _arrays(96, 112, head=8)
    _, pullback = jax.eval_shape(lambda *qkv: jax.vjp(lambda *x: kernel(*x, None), *qkv), query, key, value)
    assert any(leaf.shape[-2:] == (96, 112) for leaf in jax.tree.leaves(pullback)) is matrices


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("tokens", [128, 1280, 4352, 4736, 16640])
def test_blocks_divide_the_tokens(tokens, itemsize):
    blocks = attention._blocks(tokens, tokens, itemsize)
    assert all(
        tokens % size == 0 for size in (blocks.block_q, blocks.block_kv, blocks.block_q_dkv, blocks.block_kv_dkv)
    )
    assert blocks.block_kv % blocks.block_kv_compute == 0
    assert blocks.block_kv_dkv % blocks.block_kv_dkv_compute == 0
    # Partial sums of the queries' gradients are as many as blocks of keys.
    assert not blocks.use_fused_bwd_kernel or tokens // blocks.block_kv_dkv <= 4


SIZES = {"head_width": 64, "q_tokens": 4352, "k_tokens": 4352, "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("platform", "kernel"), [("cpu", "xla"), ("gpu", "cudnn"), ("cuda", "cudnn"), ("tpu", "splash"), ("rocm", "xla")]
)
def test_auto_is_the_kernel_of_the_platform(platform, kernel, caplog):
    assert attention.choose("auto", platform, **SIZES) == kernel
    assert attention.choose("xla", platform, **SIZES) == "xla"
    assert not caplog.records


def test_auto_says_once_that_it_falls_back(caplog):
    attention._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        kernels = [attention.choose("auto", "tpu", **SIZES | {"k_tokens": 72}) for _ in range(2)]
    assert kernels == ["xla", "xla"]
    (record,) = caplog.records
    assert "72 keys" in record.getMessage()


def test_auto_tells_all_that_is_in_the_way_of_the_kernel(caplog):
    attention._warn_once.cache_clear()
    sizes = {"head_width": 36, "q_tokens": 1038, "k_tokens": 1038, "dtype": "float32"}
    with caplog.at_level(logging.WARNING):
        assert [attention.choose("auto", platform, **sizes) for platform in ("tpu", "gpu")] == ["xla", "xla"]
    tpu, gpu = (record.getMessage() for record in caplog.records)
    assert "not 36" in tpu and tpu.count("1038") == 1
    assert "not 1038 queries and keys a device" in tpu
    assert "not 36" in gpu and "float32" in gpu and "1038" not in gpu


@pytest.mark.parametrize(
    ("kernel", "platform", "sizes", "words"),
    [
        ("splash", "cpu", {}, "splash is no kernel of the platform cpu, which has none; --config"),
        ("cudnn", "tpu", {}, "cudnn is no kernel of the platform tpu: use splash; --config"),
        ("splash", "gpu", {}, "use cudnn"),
        ("splash", "tpu", {"q_tokens": 4300}, r"not 4300 queries .* 4352"),
        ("splash", "tpu", {"k_tokens": 72}, r"not 72 keys .* 128"),
        ("splash", "tpu", {"head_width": 60}, r"not 60: .* 56|not 60: .* 64"),
        ("splash", "tpu", {"head_width": 192}, r"not 192: .* 128"),
        ("cudnn", "gpu", {"head_width": 4}, r"not 4: .* 8"),
        ("cudnn", "gpu", {"dtype": "float32"}, "--config.model.dtype=bfloat16"),
    ],
)
def test_a_kernel_that_cannot_be_used_is_refused_with_the_nearest_that_works(kernel, platform, sizes, words):
    for refuse in (attention.check, attention.choose):
        with pytest.raises(ConfigError, match=words) as caught:
            refuse(kernel, platform, **SIZES | sizes)
        assert "'model.attention'" in str(caught.value)
        assert "--config.model.attention=xla" in str(caught.value)


def test_float32_and_any_number_of_tokens_suit_where_they_should():
    attention.check("splash", "tpu", **SIZES | {"dtype": "float32"})
    attention.check("cudnn", "gpu", **SIZES | {"q_tokens": 270, "k_tokens": 271})
    attention.check("xla", "cpu", head_width=12, q_tokens=3, k_tokens=5, dtype="float32")
