"""dfjax launch local|slurm|xpk|tpu_vm --config=RECIPE.py --workdir=RUN [--topology=v5e:4x4] [--config.KEY=VALUE ...]

Hands a training run to an engine, which starts, queues and restarts it, and prints how to watch, stop and resume it.

    --dry_run                                what would be handed over, whole; needs no engine
    dfjax launch slurm --help                the flags of one engine
    dfjax launch local --hosts=2 ...         two processes on this machine
    --sweep                                  the runs of the recipe's sweep(): as dfjax sweep --backend=ENGINE
"""

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from dfjax.cli import app, jobs
from dfjax.launching import engines

_argv: list[str] = []
_SWEEP = ("--sweep", "-sweep", "--sweep=true", "--sweep=1", "--sweep=True")
_holders: dict[str, Any] = {}


def prepare(argv: Sequence[str]) -> None:
    """Define the flags of the engine that the first word names. Raises UsageError where it names none."""
    _argv[:] = argv
    jobs.refuse_files(argv)
    name = argv[0] if argv else ""
    if name in engines.ENGINES and any(word in _SWEEP for word in argv):
        _prepare_sweep(name, [word for word in argv[1:] if word not in _SWEEP])
        return
    _holders["config"] = app.define_config()
    flags.DEFINE_string("workdir", None, "folder of this one run, which all hosts share", required=True)
    flags.DEFINE_bool("sweep", False, "hand over the runs of the recipe's sweep(): dfjax sweep --backend=ENGINE")
    jobs.define()
    if name in engines.ENGINES:
        jobs.define_options(name, argv[1:])
    elif not name.startswith(("-h", "--h")):
        _refuse_engine(name)


def _prepare_sweep(name: str, words: list[str]) -> None:
    from dfjax.cli import sweep

    if name not in sweep.BACKENDS:
        raise app.UsageError(f"{name} takes no sweep: {', '.join(sweep.BACKENDS)} do")
    flags.DEFINE_bool("sweep", True, "hand over the runs of the recipe's sweep()")
    sweep.prepare([f"--backend={name}", *words])
    flags.FLAGS.set_default("backend", name)


def _refuse_engine(word: str) -> None:
    offers = "\n".join(f"  {name:7} {what}" for name, what in engines.ENGINES.items())
    what = f"there is no engine {word!r}" if word and not word.startswith("-") else "name the engine first"
    raise app.UsageError(f"{what}: `dfjax launch ENGINE --config=...`, of\n{offers}")


def main(rest: list[str]) -> None:
    """Check the job, then print or hand over what the engine is given."""
    name = rest[0]
    app.refuse_rest(rest[1:])
    if flags.FLAGS.sweep:
        from dfjax.cli import sweep

        sweep.main([])
        return
    options = jobs.options(name)
    job = jobs.spec(flags.FLAGS.workdir, _argv)
    from dfjax.launching import checks

    checks.check(job, app.read_config(_holders["config"]))
    start(name, job, options)


def start(name: str, job, options) -> None:
    """Hand a checked job over, or with ``--dry_run`` print what would be."""
    from dfjax.launching import engine as engine_lib

    engine = engines.load(name)
    handover = engine.hand_over(job, options)
    if flags.FLAGS.dry_run:
        print(handover.words())
    elif engine.FOREGROUND:
        print(handover.advice(), file=sys.stderr, flush=True)
        engine_lib.become(handover)
    else:
        engine_lib.submit(handover)
        print(handover.advice())
