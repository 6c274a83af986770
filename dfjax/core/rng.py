"""Named random streams.

Every random draw is a function of (seed, purpose, step, index in the global batch, attempt) and of nothing else: not
of the host, the device or the micro-batch that happens to make it. So no stream has a state to save, a resumed run
draws what an uninterrupted one would, and one example's noise is the same on 1 device and on 1,000.
"""

import zlib

import jax
from jaxtyping import Array, Int, Key, UInt32


def stream(
    seed: int | UInt32[Array, ""], purpose: str, step: int | Int[Array, ""] = 0, attempt: int | Int[Array, ""] = 0
) -> Key[Array, ""]:
    """The key of one purpose at one step.

    Args:
      seed: from 0 below 2**31; a Python int, or a traced uint32.
      purpose: a name such as "noise"; hashed by CRC-32, which does not change between processes or versions.
      step: optimizer step, at least 0; may be traced.
      attempt: how often the run was rolled back; may be traced.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    for part in (zlib.crc32(purpose.encode()), step, attempt):
        key = jax.random.fold_in(key, part)
    return key


def per_example(key: Key[Array, ""], index: Int[Array, "batch"]) -> Key[Array, "batch"]:
    """One key for each global example index (int32, at least 0)."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
