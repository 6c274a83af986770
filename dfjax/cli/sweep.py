"""dfjax sweep --config=RECIPE.py --workdir=SWEEP [--backend=local|slurm|xpk] [--parallel=N] [--config.KEY=VALUE ...]
dfjax sweep status|report --workdir=SWEEP

Runs each line of the recipe's sweep() in a work directory of its own, SWEEP/<what differs>. The lines are frozen in
SWEEP/sweep.jsonl before any starts; the same command again starts what is not finished, and leaves the rest alone.

    --dry_run                        what would be started, whole
    --search --trials=20             the recipe's search(trial) through Optuna, pruned on the validation loss
    status --sort=validation/loss    a table of all runs: state, step, best value, differing keys; also --json
    report --out=sweep.html          one page with parallel coordinates and curves; no server, no network
    run --line=3                     one line, as `dfjax train`; for engines
"""

import dataclasses
import getpass
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from dfjax.cli import app, jobs, pages
from dfjax.core.errors import FAILED, PREEMPTED

if TYPE_CHECKING:
    from dfjax.launching.engine import Handover
    from dfjax.launching.job import JobSpec
    from dfjax.sweeps.frozen import Header, Sweep
    from dfjax.sweeps.lines import Line

BACKENDS = ("local", "slurm", "xpk")
# Trials at a time where an engine starts them, and nobody says how many.
_TRIALS_AT_ONCE = 4
_DFJAX = (sys.executable, "-m", "dfjax.cli.main")

_log = logging.getLogger(__name__)
_argv: list[str] = []
_holders: dict[str, Any] = {}


def prepare(argv: Sequence[str]) -> None:
    """Define the flags of what the first word asks for. Raises UsageError for an unknown backend or flag."""
    _argv[:] = argv
    jobs.refuse_files(argv)
    flags.DEFINE_string("workdir", None, "folder of the sweep, with a work directory for each run", required=True)
    action = argv[0] if argv and not argv[0].startswith("-") else ""
    if action in _ACTIONS:
        _ACTIONS[action][1]()
        return
    if action:
        raise app.UsageError(f"what is {action!r}? `dfjax sweep` starts a sweep; there are also {', '.join(_ACTIONS)}")
    _holders["config"] = app.define_config()
    flags.DEFINE_enum("backend", "local", list(BACKENDS), "what starts the runs")
    flags.DEFINE_integer("parallel", 0, "runs at a time; 0: one here, elsewhere as the engine likes", lower_bound=0)
    flags.DEFINE_bool("search", False, "run the recipe's search(trial) through Optuna, not its sweep()")
    flags.DEFINE_integer("trials", 20, "of a search, how many in all", lower_bound=1)
    flags.DEFINE_integer("startup_trials", 5, "of a search, how many end before any is pruned", lower_bound=1)
    jobs.define()
    given = [value for word, after in zip(argv, [*argv[1:], ""], strict=True) if (value := _backend(word, after))]
    # The parser says what is wrong with one that is unknown.
    if (backend := given[-1] if given else "local") in BACKENDS:
        jobs.define_options(backend, argv)


def _backend(word: str, after: str) -> str:
    """The value of ``--backend=NAME`` or ``--backend NAME``; empty for another word."""
    flag, equals, value = word.lstrip("-").partition("=")
    is_it = word.startswith("-") and flag == "backend"
    return (value if equals else after) if is_it else ""


def main(rest: list[str]) -> None:
    """Do what the first word asks for; without one, start the sweep or go on with it."""
    folder = Path(jobs.absolute(flags.FLAGS.workdir))
    if "://" in flags.FLAGS.workdir:
        raise app.UsageError("--workdir: a sweep is kept in a folder that this machine and the hosts share")
    if rest and rest[0] in _ACTIONS:
        if rest[0] != "run":
            app.refuse_rest(rest[1:])
        _ACTIONS[rest[0]][0](folder)
        return
    app.refuse_rest(rest)
    if flags.FLAGS.search:
        _search(folder)
    else:
        _sweep(folder)


# ---- starting ----


def _sweep(folder: Path) -> None:
    """Freeze the sweep, and start what is open of it."""
    from dfjax.sweeps import frozen, lines, state

    header = _header()
    wanted = frozen.Sweep(folder, header, lines.read(jobs.recipe(), header.base))
    job, options = _job(), jobs.options(flags.FLAGS.backend)
    _check_devices({_meshed(lines.check(line.number, line.overrides, header.base)[1]) for line in wanted.lines}, job)
    wanted = frozen.check(folder, header, wanted.lines)
    if not flags.FLAGS.dry_run:
        _lock(folder)
        wanted = frozen.freeze(folder, header, wanted.lines)
    found = {line.number: state.read(wanted.workdir(line), line.steps) for line in wanted.lines}
    todo = [line for line in wanted.lines if found[line.number].state in state.OPEN]
    live = [line for line in wanted.lines if found[line.number].state is state.State.RUNNING]
    _log.info("%d runs: %d to start, %d at work, %d done", len(found), len(todo), len(live),
              len(found) - len(todo) - len(live))  # fmt: skip
    job = dataclasses.replace(job, lines=tuple(line.number for line in todo), parallel=flags.FLAGS.parallel)
    if flags.FLAGS.dry_run:
        _print(wanted, job, options, todo)
    elif flags.FLAGS.backend == "local":
        _run_here(wanted, job, todo, live)
    else:
        _submit(wanted, job, options, todo)


def _lock(folder: Path) -> None:
    """Take the lock of a sweep's folder until this process ends. Raises UsageError where another one has it."""
    from dfjax.checkpoint.lock import Lock

    folder.mkdir(parents=True, exist_ok=True)
    if not Lock(folder).take():
        raise app.UsageError(f"another dfjax sweep is at work in {folder}: wait for it to end, or end it")


def _header(is_search: bool = False) -> "Header":
    """What the runs share, as the flags say."""
    from dfjax.sweeps.frozen import Header

    base = app.read_config(_holders["config"])
    words = jobs.overrides(_argv)
    return Header(str(jobs.recipe()), tuple(w for w in words if w.startswith("--config.")), base, is_search)


def _further() -> tuple[str, ...]:
    """Words of ``dfjax train`` that are no part of what is trained, so that another start may have others."""
    return tuple(word for word in jobs.overrides(_argv) if not word.startswith("--config."))


def _job() -> "JobSpec":
    return dataclasses.replace(jobs.spec(flags.FLAGS.workdir, _argv), overrides=_further())


def _check_devices(configs, job: "JobSpec") -> None:
    """Raise JobError or ConfigError where the devices of a job are not local's, or do not fit the mesh of a config."""
    from dfjax.launching import engines
    from dfjax.launching import job as job_lib

    if flags.FLAGS.backend == "local":
        engines.load("local").hand_over(job, jobs.options("local"))
        if not flags.FLAGS["topology"].present and job.hosts == 1:
            # Each run is one `dfjax train`, which takes all devices of this machine, whatever they are.
            return
    for config in configs:
        job_lib.check_mesh(config, job.topology, job.hosts)


def _meshed(config):
    """A config of which only what decides whether the devices can hold it counts."""
    from dfjax import config as config_lib

    return config_lib.Config(model=config.model, mesh=config.mesh, train=config.train, data=config.data)


def _command(sweep: "Sweep", job: "JobSpec", line: "Line") -> tuple[str, ...]:
    """All words of the process that runs a line here: the run itself, or its processes' parent."""
    if (str(job.topology), job.hosts) == ("cpu:1", 1):
        return (*_DFJAX, "train", *sweep.words(line), *job.overrides)
    several = (f"--topology={job.topology}", f"--hosts={job.hosts}")
    return (*_DFJAX, "launch", "local", *several, *sweep.words(line), *job.overrides)


def _run_here(sweep: "Sweep", job: "JobSpec", todo: "Sequence[Line]", live: "Sequence[Line]") -> None:
    """Run lines as processes of this machine.

    Exits with 42 if told to end and all saved, else as one that did not; with 1 if some did not finish.
    """
    from dfjax.sweeps import pool

    print(_advice(sweep), file=sys.stderr, flush=True)
    with pool.Pool(sweep, lambda line: _command(sweep, job, line), dict(job.environment)) as runs:
        statuses, is_told = pool.run(runs, todo, job.parallel or 1)
    bad = [line for line in todo if statuses.get(line.number) not in (0, None)]
    for line in bad:
        said = _why(sweep, line, statuses[line.number])
        print(f"dfjax: line {line.number} ({line.name}) {said}", file=sys.stderr)
    for line in live:
        print(f"dfjax: line {line.number} ({line.name}) was left alone, being at work elsewhere", file=sys.stderr)
    worst = max((statuses[line.number] for line in bad if statuses[line.number] != PREEMPTED), default=0)
    if is_told and (bad or len(statuses) < len(todo)):
        print("dfjax: told to end: the same command goes on", file=sys.stderr)
        sys.exit(worst or PREEMPTED)
    if bad:
        print("dfjax: the same command tries again what is not finished", file=sys.stderr)
        sys.exit(FAILED if worst else PREEMPTED)
    if live:
        print("dfjax: not all is finished: the same command again looks after what is then", file=sys.stderr)
        sys.exit(FAILED)


def _why(sweep: "Sweep", line: "Line", status: int) -> str:
    from dfjax.sweeps import pool, state

    said = state.read(sweep.workdir(line), line.steps).words
    return f"{pool.words(status)}{f': {said}' if said else ''}"


def _of_line(job: "JobSpec", number: int) -> "JobSpec":
    """The job of one trial, under a name by which it can be ended."""
    # Engines without arrays give each line such a name by themselves.
    name = job.line_name(number) if flags.FLAGS.backend == "slurm" else job.name
    return dataclasses.replace(job, name=name, lines=(number,))


def _stop(job: "JobSpec", handover: "Handover") -> tuple[str, ...]:
    """The command that ends the job of one trial, saved."""
    if flags.FLAGS.backend == "slurm":
        # Not by a bare scancel, of which srun hears too, and kills the processes before they have saved.
        return ("scancel", "--signal=TERM", f"--user={getpass.getuser()}", f"--name={job.name}")
    place = ("--cluster=", "--project=", "--zone=", "--namespace=", "--workload=")
    return ("xpk", "workload", "delete", *(word for word in handover.commands[0] if word.startswith(place)))


def _submit(sweep: "Sweep", job: "JobSpec", options: Any, todo: "Sequence[Line]") -> None:
    from dfjax.launching import engine as engine_lib
    from dfjax.launching import engines
    from dfjax.sweeps import state

    if not todo:
        _log.info("nothing is left to start")
        return
    handover = engines.load(flags.FLAGS.backend).hand_over(job, options)
    engine_lib.submit(handover)
    if not handover.is_trial:
        for line in todo:
            state.forget(sweep.workdir(line))
    print(f"{handover.advice()}\n{_advice(sweep)}")


def _print(sweep: "Sweep", job: "JobSpec", options: Any, todo: "Sequence[Line]") -> None:
    from dfjax.launching import engines
    from dfjax.sweeps import frozen

    print(f"# file {sweep.path}\n{frozen.text(sweep)}")
    if flags.FLAGS.backend == "local":
        for line in todo:
            print(shlex.join([*job.variables, *_command(sweep, job, line)]))
    elif todo:
        print(engines.load(flags.FLAGS.backend).hand_over(job, options).words())


def _advice(sweep: "Sweep") -> str:
    where = shlex.quote(str(sweep.folder))
    return f"table:  dfjax sweep status --workdir={where}\npage:   dfjax sweep report --workdir={where}"


# ---- searching ----


def _search(folder: Path) -> None:
    """Freeze what trials share, and run them."""
    from dfjax.launching import engines
    from dfjax.sweeps import frozen, pool, search

    header = _header(is_search=True)
    search.check(header.base)
    job, options = _job(), jobs.options(flags.FLAGS.backend)
    _check_devices({header.base}, job)
    if flags.FLAGS.dry_run:
        raise app.UsageError("--dry_run cannot tell what a search will try; it tells all of a sweep()")
    frozen.check(folder, header, [])
    _lock(folder)
    sweep = frozen.freeze(folder, header, [])
    parallel, trials = flags.FLAGS.parallel, flags.FLAGS.trials
    print(_advice(sweep), file=sys.stderr, flush=True)
    if flags.FLAGS.backend == "local":
        with pool.Pool(sweep, lambda line: _command(sweep, job, line), dict(job.environment)) as runs:
            made = search.Search(sweep, jobs.recipe(), runs, flags.FLAGS.startup_trials)
            is_told = made.run(trials, parallel or 1)
    else:
        engine = engines.load(flags.FLAGS.backend)

        def jobs_of(line: "Line") -> "tuple[Handover, tuple[str, ...]]":
            own = _of_line(job, line.number)
            handover = engine.hand_over(own, options)
            return handover, _stop(own, handover)

        hands = search.Submitted(sweep, jobs_of)
        made = search.Search(sweep, jobs.recipe(), hands, flags.FLAGS.startup_trials)
        is_told = made.run(trials, parallel or _TRIALS_AT_ONCE)
    if is_told:
        print("dfjax: told to end: the same command goes on", file=sys.stderr)
        sys.exit(PREEMPTED)
    _print_table(made.sweep)
    from dfjax.sweeps import state

    failed = [
        line for line in made.sweep.lines if state.read(made.sweep.workdir(line), line.steps).state.name == "FAILED"
    ]
    if failed:
        print(f"dfjax: {len(failed)} trials failed, as the table says", file=sys.stderr)
        sys.exit(FAILED)


# ---- status, report, run ----


def _define_status() -> None:
    flags.DEFINE_string("sort", "validation/loss", "metric to show and sort by, best first; `line`: in order")
    flags.DEFINE_bool("json", False, "print one JSON object")


def _status(folder: Path) -> None:
    """Print the table."""
    from dfjax.sweeps import frozen, table

    found = table.make(frozen.read(folder), flags.FLAGS.sort)
    print(json.dumps(table.to_json(found)) if flags.FLAGS.json else table.text(found))


def _print_table(sweep: "Sweep") -> None:
    from dfjax.sweeps import table

    print(table.text(table.make(sweep)))


def _define_report() -> None:
    flags.DEFINE_string("sort", "validation/loss", "metric by which runs are compared")
    flags.DEFINE_string("out", "", "page to write; empty: SWEEP/report.html")


def _report(folder: Path) -> None:
    """Write the page, and print its path."""
    from dfjax.core import storage
    from dfjax.sweeps import frozen, page, table

    sweep = frozen.read(folder)
    out = Path(flags.FLAGS.out) if flags.FLAGS.out else folder / "report.html"
    pages.check_out(out)
    made = page.make(table.make(sweep, flags.FLAGS.sort)).encode("utf-8", "replace")
    storage.replace(out, made)
    _log.info("wrote %s, %s; open it in a browser", out, storage.size_words(len(made)))
    print(out)


def _define_run() -> None:
    flags.DEFINE_integer("line", None, "line of the sweep, from 1", required=True, lower_bound=1)
    flags.DEFINE_string("coordinator", "", "as of `dfjax train`")
    flags.DEFINE_integer("num_processes", 0, "as of `dfjax train`")
    flags.DEFINE_integer("process_id", -1, "as of `dfjax train`")
    flags.DEFINE_string("distributed", "auto", "as of `dfjax train`")


def _run(folder: Path) -> None:
    """Become ``dfjax train`` with a line's words: signals and exit status are its own. Nothing is left to do: end."""
    from dfjax.sweeps import frozen, state

    sweep = frozen.read(folder)
    line = sweep.line(flags.FLAGS.line)
    workdir = sweep.workdir(line)
    now = state.read(workdir, line.steps).state
    # Also of a trial that was pruned, since the engine starts again what ends with 42.
    if now is state.State.FINISHED or state.is_pruned(workdir):
        _log.info("line %d (%s) is %s: nothing to do", line.number, line.name, now.value)
        return
    if not (recipe := Path(sweep.header.config.partition(":")[0])).exists():
        words = f"the recipe {recipe} is not on this host: it must have the path that it had when the sweep was started"
        state.fail(workdir, words)
        raise app.UsageError(words)
    # A run that is refused leaves its folder, and in it the reason, only where the folder was there before.
    workdir.launch.mkdir(parents=True, exist_ok=True)
    # One that is live is refused by the run itself, which can tell it from the other processes of its own start.
    flag_words = [word for word in _argv[1:] if word.startswith("-")]
    further = [word for word in flag_words if word.lstrip("-").partition("=")[0] not in ("workdir", "line")]
    sys.stdout.flush()
    os.execv(sys.executable, [*_DFJAX, "train", *sweep.words(line), *further])


_ACTIONS = {
    "status": (_status, _define_status),
    "report": (_report, _define_report),
    "run": (_run, _define_run),
}
