"""dfjax train --config=RECIPE.py --workdir=RUN [--config.KEY=VALUE ...]

Trains until train.num_steps and keeps everything in RUN. The same command goes on where it was.
SIGTERM or Ctrl-C: it saves and ends with status 42; the same once more: it ends at once.
"""

from pathlib import Path

from absl import flags

from dfjax.cli import app
from dfjax.core.errors import DfjaxError

_CONFIG = app.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of this one run", required=True)
_PROFILE = flags.DEFINE_bool("profile", False, "record steps 11 to 15 for the profiler of TensorBoard (XProf)")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "HOST:PORT of process 0, where several processes make one run; IPv6: [HOST]:PORT"
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", 0, "how many processes make the run")
_PROCESS_ID = flags.DEFINE_integer("process_id", -1, "which of them this is, from 0")
_DISTRIBUTED = flags.DEFINE_enum(
    "distributed", "auto", ["auto", "off"], "auto: join the processes that Slurm, a TPU pod, Kubernetes or MPI started"
)


def main(rest: list[str]) -> None:
    """Join the other processes, then train."""
    app.refuse_rest(rest)
    config = app.read_config(_CONFIG)
    from dfjax.checkpoint.workdir import Workdir
    from dfjax.runtime import hosts

    workdir = Workdir(Path(_WORKDIR.value))
    # Before there are any signs of life in what may be somebody else's folder.
    workdir.check()
    is_new = not workdir.path.exists()
    flags = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    try:
        with hosts.joined(workdir.heartbeats, config.hosts, *flags, find=_DISTRIBUTED.value == "auto") as request:
            app.quiet_unless_first()
            from dfjax.training import loop, samples

            loop.train(
                config, workdir.path, hooks=(samples.hook, _evaluate_hook), profile=_PROFILE.value, request=request
            )
    except DfjaxError:
        if is_new:
            workdir.discard_unused()
        raise


def _evaluate_hook(run):
    """The evaluators of the config's eval section; nothing where they are not wanted inside training."""
    from dfjax.training.hooks import Hook

    if not run.config.eval.every_steps or run.source is None:
        return Hook(0, lambda state, step: ({}, {}))
    from dfjax.evals import training

    return training.hook(run)
