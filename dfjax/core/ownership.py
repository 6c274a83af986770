"""Whether a folder is this user's alone, so that what is found in it was put there by this user."""

import grp
import os
import pwd
import stat
from pathlib import Path


def user_cache(name: str) -> Path:
    """The folder ``dfjax/NAME`` of the user's cache; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dfjax" / name


def claim(folder: Path, use: str, elsewhere: str) -> tuple[Path, str]:
    """Make a folder for this user alone where it is missing, and look at who else could put something there.

    Args:
      use: what others could do by that, such as ``what is in it is run``. elsewhere: how to choose another folder.

    Returns:
      The folder without links, and why others could put something there and what to do; empty if only this user can.
    """
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        # What is looked at is what is used: a link on the way could be changed later.
        folder = folder.resolve(strict=True)
        if not folder.is_dir():
            return folder, f"{folder} is no folder; {elsewhere}"
        return folder, _open_to_others(folder, use, elsewhere) or _exchangeable(folder, use, elsewhere)
    except OSError as error:
        return folder, str(error)


def _open_to_others(folder: Path, use: str, elsewhere: str) -> str:
    """Why others could put something into the folder, and what to do; empty if only this user can."""
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user; {elsewhere}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to {folder}, and {use}; take that away with `chmod go-w {folder}`"
    return ""


def _exchangeable(folder: Path, use: str, elsewhere: str) -> str:
    """Why others could put a folder of theirs in the place of this one, and what to do; empty if nobody can.

    Who may write to a folder may rename what is in it, but for what is another's in a sticky one, such as /tmp.
    """
    for above in folder.parents:
        status = above.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{above}, in which {folder} is, belongs to another user; {elsewhere}"
        by_group = status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
        if (by_group or status.st_mode & stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            return (
                f"others may write to {above}, and so put something else in the place of {folder}, and {use}; "
                f"take that away with `chmod go-w {above}`, or {elsewhere}"
            )
    return ""


def _is_own_group(number: int) -> bool:
    """Whether nobody else is in a group. Many systems give each user one of the same name, which may write."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return user.pw_gid == number and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
