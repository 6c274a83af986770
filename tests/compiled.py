"""Programs that tests compile are kept for the whole test run: whoever needs one again loads it, in any process."""

import os
import tempfile

import jax

_VARIABLES = {
    # Even the smallest ones: there are thousands, and many are those of other tests.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
}
_made: list[tempfile.TemporaryDirectory] = []


def keep() -> None:
    """Have this process, and those that it starts, keep them in one folder, which goes with the one that made it."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        _made.append(tempfile.TemporaryDirectory(prefix="dfjax-compiled-"))
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": _made[0].name} | _VARIABLES
    # JAX itself has read its variables already.
    jax.config.update("jax_compilation_cache_dir", folder())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def folder() -> str:
    """The folder of this test run."""
    return os.environ["JAX_COMPILATION_CACHE_DIR"]
