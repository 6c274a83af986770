"""Splash attention compiled for TPUs: it fits their vector memory, holds no matrix of scores, and runs under a mesh."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from dfjax.models import attention
from tests.plan import targets

pytestmark = pytest.mark.slow

BATCH, TOKENS, HEADS, HEAD = 8, 4352, 8, 64


def _compiled(kernel, mesh, dtype, *, tokens=TOKENS, policy=None):
    """Loss and gradients of two scanned, checkpointed layers that are attention alone, over a mesh."""
    heads = P("fsdp", None, "tensor", None)

    def loss(x, mask):
        run = jax.shard_map(
            kernel, mesh=mesh, in_specs=(heads, heads, heads, P("fsdp", None)), out_specs=heads, check_vma=False
        )
        layer = jax.checkpoint(lambda x, _: (x + run(x, 2 * x, x, mask), None), policy=policy, prevent_cse=False)
        return jnp.mean(jnp.square(jax.lax.scan(layer, x, length=2)[0].astype(jnp.float32)))

    x = jax.ShapeDtypeStruct((BATCH, tokens, HEADS, HEAD), dtype, sharding=NamedSharding(mesh, heads))
    mask = jax.ShapeDtypeStruct((BATCH, tokens), bool, sharding=NamedSharding(mesh, P("fsdp", None)))
    return jax.jit(jax.value_and_grad(loss)).lower(x, mask).compile()


@pytest.mark.long
def test_splash_needs_no_matrix_of_scores():
    mesh = targets.mesh("v5e:2x2", fsdp=2, tensor=2)
    splash = _compiled(attention.splash, mesh, jnp.bfloat16).memory_analysis().temp_size_in_bytes
    plain = _compiled(attention.plain, mesh, jnp.bfloat16).memory_analysis().temp_size_in_bytes
    scores = 2 * math.prod((BATCH // 2, HEADS // 2, TOKENS, TOKENS))
    assert splash < scores / 2
    # The measure would have seen it.
    assert plain > scores


@pytest.mark.gate(1)
@pytest.mark.parametrize(
    ("tokens", "dtype"), [(4352, "bfloat16"), (4608, "bfloat16"), (1280, "float32"), (4352, "float32")]
)
def test_blocks_fit_the_smallest_vector_memory(tokens, dtype):
    # A v4 core has 16 MiB in all, and the compiler refuses what does not fit. 2 x 2 chips of two cores each.
    mesh = targets.mesh("v4:2x2x1", fsdp=4, tensor=2)
    program = _compiled(attention.splash, mesh, dtype, tokens=tokens).as_text()
    assert "splash_mha_fwd" in program
    assert "splash_mha_dkv" in program


@pytest.mark.gate(1)
@pytest.mark.parametrize(
    ("policy", "kernels"),
    [
        (jax.checkpoint_policies.nothing_saveable, 3),
        (jax.checkpoint_policies.save_only_these_names(attention.RESIDUALS), 2),
    ],
)
def test_a_policy_that_saves_the_residuals_spares_a_second_forward_kernel(policy, kernels):
    mesh = targets.mesh("v5e:2x2", fsdp=2, tensor=2)
    program = _compiled(attention.splash, mesh, jnp.bfloat16, tokens=256, policy=policy).as_text()
    assert program.count('custom_call_target="tpu_custom_call"') == kernels


@pytest.mark.gate(1)
@pytest.mark.parametrize("head", [8, 72, 128])
def test_other_head_widths_compile(head):
    mesh = targets.mesh("v5e:2x2", fsdp=4)
    x = jax.ShapeDtypeStruct((4, 256, 2, head), jnp.bfloat16, sharding=NamedSharding(mesh, P("fsdp")))
    kernel = functools.partial(attention.splash, mask=None)
    run = jax.shard_map(kernel, mesh=mesh, in_specs=P("fsdp"), out_specs=P("fsdp"), check_vma=False)
    gradients = jax.grad(lambda x: jnp.sum(run(x, x, x).astype(jnp.float32)))
    assert "splash_mha_dkv" in jax.jit(gradients).lower(x).compile().as_text()
