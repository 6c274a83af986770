"""The compilation cache: compiled programs, kept in a folder where only this user can put any, for they are run."""

import logging
from pathlib import Path

from absl import flags

from dfjax.core import ownership

flags.DEFINE_string("compilation_cache", "", "folder of compiled programs; empty: in the user's cache; 'off': none")

_USE = "what is in it is run"
_ELSEWHERE = "choose another folder with --compilation_cache=FOLDER"


def set_up() -> None:
    """Have JAX keep compiled programs in the folder of ``--compilation_cache``, which is made for this user alone.

    Where others could put programs there, or it cannot be made, there is a warning and no cache.
    """
    import jax

    wish = flags.FLAGS.compilation_cache
    if wish == "off":
        return
    folder, fault = ownership.claim(Path(wish) if wish else ownership.user_cache("xla"), _USE, _ELSEWHERE)
    if fault:
        logging.getLogger("dfjax").warning("no compilation cache: %s", fault)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
