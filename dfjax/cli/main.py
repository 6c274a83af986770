"""``dfjax COMMAND [flags]``: finds the command and reports what a user can mend without a traceback."""

import importlib
import os
import sys

COMMANDS = {
    "train": "train a recipe in a work directory; the same command resumes it",
    "sample": "draw prompts with a trained work directory",
    "evaluate": "measure a run's checkpoints, as they appear or afterwards",
    "average": "make an average of the weights of any length from a run's snapshots",
    "report": "make one HTML page about one run or several: curves, figures by checkpoint, pictures, configs",
    "plan": "compile a recipe's step for devices that need not be there: will it fit, how fast at most",
    "launch": "hand a run to an engine that starts it: local processes, Slurm, XPK, TPU VMs",
    "sweep": "run the many runs of a recipe's sweep() or search(), and compare them",
    "checkpoint": "list, inspect, verify or prune a run's checkpoints",
    "data": "build or inspect a recipe's data set",
}
WRONG_USE = 2


def usage() -> str:
    """What `dfjax --help` prints."""
    lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    return (
        "usage: dfjax COMMAND [--flag=value ...]\n\n" + "\n".join(lines) + "\n\n`dfjax COMMAND --help` lists its flags."
    )


def run(argv: list[str] | None = None) -> None:
    """The console script. Exits with 0 done, 1 error, 2 wrong use."""
    argv = sys.argv if argv is None else argv
    if len(argv) < 2 or argv[1] in ("-h", "--help", "-help", "help"):
        print(usage())
        sys.exit(0 if len(argv) > 1 else WRONG_USE)
    if argv[1] in ("--version", "version"):
        from dfjax import __version__

        print(__version__)
        sys.exit(0)
    if argv[1] not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(argv[1], COMMANDS, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        print(f"dfjax: there is no command {argv[1]!r}{guess}\n\n{usage()}", file=sys.stderr)
        sys.exit(WRONG_USE)
    # TensorFlow, which only the summary writers need, is chatty about what it finds on this machine.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    if argv[1] == "train":
        # Until the run listens itself: libraries take seconds to load, and the others are to be told.
        from dfjax.core import signals

        signals.note()
    # Imported here: worker processes import this module, and must not pay for what commands import.
    command = importlib.import_module(f"dfjax.cli.{argv[1]}")
    from dfjax.cli import app

    prepare = getattr(command, "prepare", None)
    app.run(command.main, [f"dfjax {argv[1]}", *argv[2:]], command.__doc__ or "", prepare)


if __name__ == "__main__":
    run()
