"""Softmax attention over the tokens that one device holds: plain, and the flash kernels of GPUs and TPUs.

A flash kernel (arXiv 2205.14135) never holds the matrix of scores in memory. Every kernel takes the same arrays and a
mask of keys, and gives what the plain one gives; :func:`choose` names the one to use on a platform.
"""

import functools
import logging
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention
from jaxtyping import Array, Bool, Float

from dfjax.core.errors import ConfigError

_log = logging.getLogger(__name__)

Queries = Float[Array, "batch q_tokens heads head"]
Keys = Float[Array, "batch k_tokens heads head"]
Mask = Bool[Array, "batch k_tokens"]
Kernel = Callable[[Queries, Keys, Keys, Mask | None], Queries]

# What a rematerialisation policy calls the output and the log-sum of splash: with both saved, the backward pass does
# not run the forward kernel again (jax.checkpoint_policies.save_only_these_names).
RESIDUALS = "attention"

_FLASH = {"gpu": "cudnn", "cuda": "cudnn", "tpu": "splash"}
_HEADS = range(8, 129, 8)
_LANES = 128
# What blocks of keys may take of a TPU's vector memory; tiles of scores need the rest.
_KEY_BYTES = 45 * 2**18


def attend(query: Queries, key: Keys, value: Keys, mask: Mask | None, *, kernel: str) -> Queries:
    """softmax(query key^T / sqrt(head)) value, with a float32 softmax, in the values' type.

    Args:
      query: [batch, q_tokens, heads, head]. key, value: [batch, k_tokens, heads, head].
      mask: [batch, k_tokens], False where a key is padding; None: no padding. At least one key of each example must be
        real, or the gradients mean nothing. Queries at padding are answered like any other.
      kernel: a name of ``KERNELS`` that :func:`check` admits for these sizes.
    """
    return KERNELS[kernel](query, key, value, mask)


def plain(query: Queries, key: Keys, value: Keys, mask: Mask | None) -> Queries:
    """The definition, with the whole matrix of scores [batch, heads, q_tokens, k_tokens] in memory."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def checkpointed(kernel: Callable) -> Callable:
    """The kernel, whose backward pass computes the scores again instead of keeping them. For use inside a scan."""
    return jax.checkpoint(kernel, prevent_cse=False)


def cudnn(
    query: Queries, key: Keys, value: Keys, mask: Mask | None, *, implementation: Literal["xla", "cudnn"] = "cudnn"
) -> Queries:
    """cuDNN's flash attention, through ``jax.nn.dot_product_attention``.

    It knows padding at the end of the keys only (a mask of scores would be a matrix again, with a gradient), so real
    keys are moved to the front: attention does not depend on their order. ``implementation="xla"`` is for tests.
    """
    lengths = None
    if mask is not None:
        # Zeros at padding, so that whatever gradient the kernel leaves there is dropped.
        order = jnp.argsort(~mask, axis=1, stable=True)
        key, value = (_reorder(jnp.where(mask[..., None, None], x, 0), order) for x in (key, value))
        lengths = jnp.sum(mask, axis=1, dtype=jnp.int32)
    return jax.nn.dot_product_attention(query, key, value, key_value_seq_lengths=lengths, implementation=implementation)


@jax.vmap
def _reorder(x, order):
    # Saying that no index comes twice spares the gradient atomic additions.
    return x.at[order].get(unique_indices=True, mode="promise_in_bounds")


def splash(query: Queries, key: Keys, value: Keys, mask: Mask | None, *, interpret: bool = False) -> Queries:
    """The Pallas kernel ``splash_attention`` for TPUs; ``interpret`` runs it, slowly, on any platform.

    Padding is told by segments: a query sees the keys of its own segment, and all queries are in that of the real keys.
    """
    heads, head = query.shape[2:]
    full = splash_attention.FullMask((query.shape[1], key.shape[1]))
    kernel = splash_attention.make_splash_mha_single_device(
        splash_attention.MultiHeadMask([full] * heads),
        block_sizes=_blocks(query.shape[1], key.shape[1], query.dtype.itemsize),
        residual_checkpoint_name=RESIDUALS,
        interpret=interpret,
    )
    # The kernel does not scale. Powers of two, as 1 / sqrt(64), are exact in bfloat16.
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query * (1 / math.sqrt(head)), key, value))
    if mask is None:
        out = jax.vmap(kernel)(query, key, value)
    else:
        segments = splash_attention.SegmentIds(jnp.ones(query.shape[::2][:2], jnp.int32), mask.astype(jnp.int32))
        out = jax.vmap(kernel)(query, key, value, segments)
    return jnp.swapaxes(out, 1, 2)


def _blocks(q_tokens: int, k_tokens: int, itemsize: int) -> splash_attention.BlockSizes:
    """Few and large blocks: by the schedules that the TPU compiler prints, blocks of 256 x 256 take 3 times as long.

    They fit the 16 MiB of vector memory that a kernel may use on v4 to v5p. The backward pass is one kernel of 5
    products while few blocks of keys leave few partial sums of dq, else two kernels of 7.
    """
    row, tile = _LANES * itemsize, 640 if itemsize == 2 else 384
    # Keys and values, twice for the pipeline; backward also their gradients, float32 sums and segments.
    forward = _divisor(k_tokens, _KEY_BYTES // (10 * row))
    backward = _divisor(k_tokens, _KEY_BYTES // (8 * row + 24 * _LANES))
    q_block = _divisor(q_tokens, tile)
    fused = k_tokens // backward <= 4
    return splash_attention.BlockSizes(
        block_q=q_block,
        block_kv=forward,
        block_kv_compute=_divisor(forward, tile),
        block_q_dkv=q_block,
        block_kv_dkv=backward,
        block_kv_dkv_compute=_divisor(backward, tile),
        block_q_dq=None if fused else q_block,
        block_kv_dq=None if fused else _divisor(k_tokens, tile),
        use_fused_bwd_kernel=fused,
    )


def _divisor(tokens: int, most: int) -> int:
    """The largest divisor of ``tokens`` that is a multiple of 128 and at most ``most``."""
    lanes = tokens // _LANES
    return _LANES * max(d for d in range(1, lanes + 1) if lanes % d == 0 and d * _LANES <= most)


KERNELS: dict[str, Kernel] = {"xla": plain, "cudnn": cudnn, "splash": splash}


def choose(name: str, platform: str, head_width: int, q_tokens: int, k_tokens: int, dtype: str) -> str:
    """The kernel that the config key ``model.attention`` names, for arrays of these sizes on one device.

    "auto" is the platform's flash kernel; where that does not take the sizes, the plain one, with a warning.

    Args:
      name: "auto" or a name of ``KERNELS``. platform: as JAX calls it, "cpu", "gpu" (or "cuda") or "tpu".
      head_width, q_tokens, k_tokens, dtype: see :func:`check`.

    Raises:
      ConfigError: a kernel was named that :func:`check` refuses.
    """
    if name != "auto":
        check(name, platform, head_width, q_tokens, k_tokens, dtype)
        return name
    kernel = _FLASH.get(platform, "xla")
    obstacles = _obstacles(kernel, platform, head_width, q_tokens, k_tokens, dtype)
    if not obstacles:
        return kernel
    _warn_once(f"plain attention instead of a flash kernel: {'; '.join(obstacles)}")
    return "xla"


def check(kernel: str, platform: str, head_width: int, q_tokens: int, k_tokens: int, dtype: str) -> None:
    """Refuses a kernel that the platform lacks, or that does not take such arrays.

    Args:
      kernel: a name of ``KERNELS``. platform: as for :func:`choose`.
      head_width: channels of a head. q_tokens, k_tokens: tokens that one device holds, text and image together.
      dtype: the compute type's name, "float32" or "bfloat16".

    Raises:
      ConfigError: with all that is in the way, and the nearest that works.
    """
    obstacles = _obstacles(kernel, platform, head_width, q_tokens, k_tokens, dtype)
    if obstacles:
        raise ConfigError(
            f"config key 'model.attention': {'; '.join(obstacles)}; --config.model.attention=xla works everywhere"
        )


def _obstacles(kernel: str, platform: str, head_width: int, q_tokens: int, k_tokens: int, dtype: str) -> list[str]:
    """All that keeps the kernel from being used, each with what would help; none if it can be used."""
    if kernel == "xla":
        return []
    own = _FLASH.get(platform)
    if kernel != own:
        return [f"{kernel} is no kernel of the platform {platform}" + (f": use {own}" if own else ", which has none")]
    found = []
    if head_width not in _HEADS:
        near = min(_HEADS, key=lambda width: abs(width - head_width))
        found.append(
            f"{kernel} takes heads of 8 to 128 channels, by 8, not {head_width}: make model.width / model.heads {near}"
        )
    if kernel == "cudnn" and dtype not in ("bfloat16", "float16"):
        found.append(f"cudnn does not take {dtype}: use --config.model.dtype=bfloat16")
    if kernel == "splash":
        # Queries and keys are as many, unless the tokens are spread over devices.
        sizes = {q_tokens: "queries"} | {k_tokens: "keys" if k_tokens != q_tokens else "queries and keys"}
        for tokens, whose in sizes.items():
            if tokens % _LANES:
                near = max(1, round(tokens / _LANES)) * _LANES
                found.append(
                    f"splash takes tokens by {_LANES}, not {tokens} {whose} a device: make text.max_tokens plus the "
                    f"image's patches, over mesh.context, {near}"
                )
    return found


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)
