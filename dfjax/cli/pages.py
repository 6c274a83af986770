"""Where a command may write its page."""

import os
from pathlib import Path

from dfjax.cli import app


def check_out(out: Path) -> None:
    """Raise UsageError, before any work is done, unless a page can be written there."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise app.UsageError(f"--out={out} is no name of a page; name it {out.stem or 'report'}.html, say")
    if out.is_dir():
        raise app.UsageError(f"{out} is a folder; name a page in it, such as {out / 'report.html'}")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise app.UsageError(f"there is no folder {folder} to write {out.name} to; make it first")
    if not os.access(out if out.exists() else folder, os.W_OK):
        raise app.UsageError(f"{out} may not be written; choose another path with --out")
