"""TPU VMs: a queued resource of Google Cloud, and one command for all of its workers over ssh; all through gcloud.

Three stages, ``create``, ``setup`` and ``start``, each a call of its own: a resource may wait in its queue for hours.
Nothing starts a run again by itself: after a stop or a preemption ``start`` resumes it.
"""

import dataclasses
import math
import shlex

from dfjax.launching.engine import Handover, option
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec
from dfjax.plan import slices
from dfjax.plan.topology import Topology

FOREGROUND = False
WITHOUT = {
    "restarts": "gcloud starts nothing again; `--stage=start` resumes a run",
    "time_limit": "gcloud has none; the stop command that it prints ends a run, which saves first",
}

STAGES = ("create", "setup", "start")
# Cloud TPU's documentation, "TPU VM images".
_RUNTIMES = {
    "v4": "tpu-ubuntu2204-base",
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
_BY_CHIPS = {"v5e": "v5litepod", "v6e": "v6e"}
_PYTHON = "3.12"


@dataclasses.dataclass(frozen=True)
class Options:
    """gcloud's own flags, of `gcloud compute tpus`, and what is done with them."""

    stage: str = option("start", "ask for the TPUs; install dfjax on their workers; start or resume the run", STAGES)
    project: str = option("", "Google Cloud project; empty: as gcloud says")
    zone: str = option("", "such as us-west4-a; empty: as gcloud says")
    runtime_version: str = option("", "of the workers; empty: by the kind of TPU")
    spot: bool = option(False, "take spot TPUs, which may be taken away at any time")
    reserved: bool = option(False, "take them from a reservation")
    source: str = option("", "of --stage=setup: what pip installs, such as 'dfjax[tpu] @ git+https://HOST/dfjax@TAG'")
    before: str = option("", "of --stage=setup: what bash runs before, such as the mount of the shared folder")
    environment: str = option("dfjax-env", "folder of the installation, below each worker's home")
    recipe: str = option("", "path of the recipe on the workers; empty: the same as here")


def hand_over(job: JobSpec, options: Options) -> Handover:
    """The commands of one stage. Raises JobError for what are no TPUs, or a stage that lacks something."""
    if not job.topology.is_tpu:
        raise JobError(f"tpu_vm is for TPUs, such as --topology=v5e:4x4, not {job.topology}")
    if job.lines:
        raise JobError("tpu_vm has no queue of jobs, so it takes no sweep: slurm, xpk and local do")
    if options.recipe:
        job = job.with_recipe(options.recipe)
    remote = {
        "create": (),
        "setup": ssh(job, options, set_up(options)) if options.stage == "setup" else (),
        "start": ssh(job, options, start(job, options)),
    }[options.stage]
    resource = ("gcloud", "compute", "tpus", "queued-resources")
    tail, name = shlex.join(_place(options)), job.name
    (log,) = [shlex.join(words) for words in ssh(job, options, f"tail -n 50 -F {name}.log", worker="0")[:1]]
    ending = "; ".join(shlex.join(words) for words in ssh(job, options, stop(name)))
    gone = f"{shlex.join(resource)} delete {name} {tail} --force".replace("  ", " ")
    described = f"{shlex.join(resource)} describe {name} {tail} --format='value(state.state)'".replace("  ", " ")
    return Handover(
        files=(),
        commands=(create(job, options),) if options.stage == "create" else remote,
        watch=f"{described}, until it says ACTIVE; then the same with --stage=setup, and with --stage=start"
        if options.stage == "create"
        else log,
        stop=f"{ending} (it saves first); {gone} gives the TPUs back",
        resume="the same command with --stage=start; after a preemption first delete the resource, as above, then "
        "--stage=create and --stage=setup",
    )


def create(job: JobSpec, options: Options) -> tuple[str, ...]:
    """The command that queues for the TPUs. Raises JobError for a shape that gcloud has no name for."""
    several = job.topology.slices > 1
    nodes = (
        (f"--node-count={job.topology.slices}", f"--node-prefix={job.name}") if several else (f"--node-id={job.name}",)
    )
    return (
        *("gcloud", "compute", "tpus", "queued-resources", "create", job.name),
        *_place(options),
        *nodes,
        *_type(job.topology),
        f"--runtime-version={options.runtime_version or _RUNTIMES[job.topology.kind]}",
        *(("--spot",) if options.spot else ()),
        *(("--reserved",) if options.reserved else ()),
    )


def ssh(job: JobSpec, options: Options, command: str, worker: str = "all") -> tuple[tuple[str, ...], ...]:
    """The same line of bash for the workers of each slice."""
    count = job.topology.slices
    nodes = [job.name] if count == 1 else [f"{job.name}-{number}" for number in range(count)]
    return tuple(
        (
            *("gcloud", "compute", "tpus", "tpu-vm", "ssh", node),
            *_place(options),
            f"--worker={worker}",
            f"--command={command}",
        )
        for node in nodes
    )


def set_up(options: Options) -> str:
    """What bash runs on a new worker. Raises JobError where it is not said what to install."""
    if not options.source:
        raise JobError("--stage=setup needs --source, what pip installs: 'dfjax[tpu] @ git+https://HOST/dfjax@TAG'")
    uv, environment = "python3 -m uv", shlex.quote(options.environment)
    steps = [
        *([options.before] if options.before else []),
        # Their own Python is older than dfjax needs.
        "python3 -m pip install --quiet --user uv",
        f"{uv} venv --quiet --allow-existing --python={_PYTHON} {environment}",
        f"{uv} pip install --quiet --python={environment}/bin/python {shlex.quote(options.source)}",
    ]
    return " && ".join(steps)


def start(job: JobSpec, options: Options) -> str:
    """What bash runs on a worker to start a run that goes on when the connection ends."""
    program = f"{options.environment}/bin/dfjax"
    words = ["env", *(f"{key}={value}" for key, value in job.environment), program, *job.command]
    log, pid = f"{job.name}.log", f"{job.name}.pid"
    return (
        f'if kill -0 "$(cat {pid} 2>/dev/null)" 2>/dev/null; '
        f'then echo "{job.name} is at work here: stop it first" >&2; exit 1; fi; '
        # The first of its session: a connection that ends does not end it, and it keeps the number that is noted.
        f"setsid {shlex.join(words)} >>{log} 2>&1 </dev/null & echo $! >{pid}"
    )


def stop(name: str) -> str:
    """What bash runs on a worker to end a run, which saves first."""
    return f'kill -TERM "$(cat {name}.pid)"'


def _type(topology: Topology) -> tuple[str, ...]:
    chips = math.prod(topology.shape)
    if topology.kind in _BY_CHIPS:
        return (f"--accelerator-type={_BY_CHIPS[topology.kind]}-{chips}",)
    shape = "x".join(map(str, topology.shape))
    if topology.kind == "v4":
        return "--type=v4", f"--topology={shape}"
    # A number of cores, two a chip, stands for the shape that is nearest to a cube.
    nearest = min((each for each in slices.offered(topology.kind) if math.prod(each) == chips), key=max)
    if topology.shape != nearest:
        cube = "x".join(map(str, nearest))
        raise JobError(f"gcloud knows slices of {topology.kind} by their number of chips: try {topology.kind}:{cube}")
    return (f"--accelerator-type={topology.kind}-{2 * chips}",)


def _place(options: Options) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name in ("project", "zone") if (value := getattr(options, name)))
