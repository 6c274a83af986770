"""The compilation cache: compiled programs, kept in a folder where only this user can put any, for they are run."""

import grp
import logging
import os
import pwd
import stat
from pathlib import Path

from absl import flags

flags.DEFINE_string("compilation_cache", "", "folder of compiled programs; empty: in the user's cache; 'off': none")

_ELSEWHERE = "choose another folder with --compilation_cache=FOLDER"


def set_up() -> None:
    """Have JAX keep compiled programs in the folder of ``--compilation_cache``, which is made for this user alone.

    Where others could put programs there, or it cannot be made, there is a warning and no cache.
    """
    import jax

    wish = flags.FLAGS.compilation_cache
    if wish == "off":
        return
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(wish) if wish else Path(home) / "dfjax" / "xla"
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        # What is looked at is what is used: a link on the way could be changed later.
        folder = folder.resolve(strict=True)
        fault = _open_to_others(folder) or _exchangeable(folder)
    except OSError as error:
        fault = str(error)
    if fault:
        logging.getLogger("dfjax").warning("no compilation cache: %s", fault)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _open_to_others(folder: Path) -> str:
    """Why others could put programs into the folder, and what to do; empty if only this user can."""
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user; {_ELSEWHERE}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to {folder}, and what is in it is run; take that away with `chmod go-w {folder}`"
    return ""


def _exchangeable(folder: Path) -> str:
    """Why others could put a folder of theirs in the place of this one, and what to do; empty if nobody can.

    Who may write to a folder may rename what is in it, but for what is another's in a sticky one, such as /tmp.
    """
    for above in folder.parents:
        status = above.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{above}, in which {folder} is, belongs to another user; {_ELSEWHERE}"
        by_group = status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
        if (by_group or status.st_mode & stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            return (
                f"others may write to {above}, and so put something else in the place of {folder}, and what is in that "
                f"is run; take that away with `chmod go-w {above}`, or {_ELSEWHERE}"
            )
    return ""


def _is_own_group(number: int) -> bool:
    """Whether nobody else is in a group. Many systems give each user one of the same name, which may write."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return user.pw_gid == number and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
