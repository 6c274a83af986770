"""Slices of TPUs, and nodes of GPUs, of a GKE cluster: a workload of XPK, which writes the JobSet.

Kubernetes starts the processes, and its JobSet all of them again, up to a number of times, where one ends with 42 or
with 127 and above: that is XPK's own list.
"""

import dataclasses
import math
import shlex

from dfjax.launching import quoting
from dfjax.launching.engine import Handover, option
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec
from dfjax.plan.topology import Topology

FOREGROUND = False
WITHOUT = {"time_limit": "XPK has none; `xpk workload delete` ends a run, which saves first"}

PRIORITIES = ("very-low", "low", "medium", "high", "very-high")
_GPUS = {"h100": "h100-80gb-8", "h200": "h200-141gb-8"}
# XPK sets these in the container for nodes of GPUs. Hosts of TPUs are told of each other by GKE, and JAX asks for that.
_GPU_FLAGS = (
    "--coordinator=$JAX_COORDINATOR_ADDRESS:$JAX_COORDINATOR_PORT --num_processes=$NNODES --process_id=$NODE_RANK"
)


@dataclasses.dataclass(frozen=True)
class Options:
    """XPK's own flags, of `xpk workload create` 1.16."""

    cluster: str = option("", "name of the GKE cluster, made with xpk")
    project: str = option("", "Google Cloud project; empty: as gcloud says")
    zone: str = option("", "such as us-central2-b; empty: as gcloud says")
    image: str = option("", "container image with dfjax in it, which the cluster can pull")
    recipe: str = option("", "path of the recipe in the image; empty: the same as here")
    device_type: str = option("", "XPK's name of the devices, such as h100-mega-80gb-8; empty: by --topology")
    priority: str = option("medium", "of the workload in the cluster's queue", PRIORITIES)
    storage: tuple = option((), "name of a storage attached to the cluster (`xpk storage attach`); may be repeated")
    namespace: str = option("", "of Kubernetes; empty: the active one")
    scheduler: str = option("", "of Kubernetes; empty: XPK's default")
    reservation: str = option("", "take the nodes from this reservation, where XPK provisions them")
    spot: bool = option(False, "take spot nodes, where XPK provisions them")
    grace_seconds: int = option(600, "between the notice and the kill of a pod; longer than a save takes")
    manifest: str = option("", "also write the JobSet to this file")


def hand_over(job: JobSpec, options: Options) -> Handover:
    """One workload, or one for each line of a sweep.

    Raises:
      JobError: no cluster or image is named, XPK has no such devices, or cannot do with a sweep what is asked.
    """
    for name in ("cluster", "image"):
        if not getattr(options, name):
            raise JobError(f"xpk needs --{name}=NAME: {Options.__dataclass_fields__[name].metadata['doc']}")
    if options.grace_seconds < 30:
        raise JobError(f"--grace_seconds={options.grace_seconds}: a run needs 30 and more to save when told to end")
    if job.lines:
        _check_sweep(job, options)
    if options.recipe:
        job = job.with_recipe(options.recipe)
    place = _place(options)
    names = [job.line_name(line) for line in job.lines] or [job.name]
    lines: list[tuple[str, ...]] = [(f"--line={line}",) for line in job.lines] or [()]
    commands = tuple(
        (
            *("xpk", "workload", "create"),
            *place,
            f"--workload={name}",
            *devices(job.topology, options.device_type),
            f"--docker-image={options.image}",
            f"--command={container_command(job, line)}",
            f"--max-restarts={job.restarts}",
            f"--termination-grace-period-seconds={options.grace_seconds}",
            f"--priority={options.priority}",
            *(f"--storage={storage}" for storage in options.storage),
            *_given(options, "scheduler", "reservation"),
            *(("--spot",) if options.spot else ()),
            *((f"--output-manifest-file={options.manifest}",) if options.manifest else ()),
        )
        for name, line in zip(names, lines, strict=True)
    )
    where = shlex.join(place)
    each = names[0] if len(names) == 1 else "NAME"
    return Handover(
        files=(),
        commands=commands,
        watch=f"kubectl logs --follow --prefix --max-log-requests=100 --selector=xpk.google.com/workload={each}; "
        f"xpk workload list {where}",
        stop=f"xpk workload delete {where} --workload={each} (it saves first)",
        is_several=bool(job.lines),
        resume="delete the workload that has ended, as above, then the same command again",
    )


def _check_sweep(job: JobSpec, options: Options) -> None:
    """Raise JobError for what has no meaning where each line of a sweep is a workload."""
    if 0 < job.parallel < len(job.lines):
        raise JobError(
            f"--parallel={job.parallel}: XPK is given all {len(job.lines)} workloads at once, and the cluster's queue "
            "says how many run at a time: leave it out, or make a sweep of fewer lines"
        )
    if options.recipe:
        raise JobError(
            "--recipe: the runs of a sweep read the recipe at the path that sweep.jsonl has; have it there too"
        )
    if options.manifest:
        raise JobError("--manifest is one file, and each line of a sweep is a workload: leave it out")


def container_command(job: JobSpec, further: tuple[str, ...] = ()) -> str:
    """What bash runs in the container, as one line: XPK puts it into its manifest unquoted.

    Variables are in the line too, since XPK's own ``--env`` does not keep quotes and newlines.
    """
    # XPK runs it in a subshell, to which it sends the signal: the program must take its place.
    line = f"exec {quoting.bash([*job.variables, 'dfjax', *job.command, *further])}"
    return line if job.topology.is_tpu else f"{line} {_GPU_FLAGS}"


def devices(topology: Topology, device_type: str = "") -> tuple[str, ...]:
    """XPK's flags for a topology. Raises JobError where it has no name for it."""
    count = str(topology.slices)
    if topology.kind == "cpu":
        raise JobError("xpk is for TPUs and GPUs, such as --topology=v5e:16x16 or --topology=h100:8*4")
    if topology.is_tpu:
        return f"--tpu-type={device_type or _tpu(topology)}", f"--num-slices={count}"
    if not device_type and (topology.kind not in _GPUS or topology.shape != (8,)):
        raise JobError(
            f"XPK 1.16 has no nodes of {topology.kind}:{topology.shape[0]}; it has {', '.join(_GPUS)} in eights, and "
            "--device_type=NAME for others that your version knows"
        )
    return f"--device-type={device_type or _GPUS[topology.kind]}", f"--num-nodes={count}"


def _tpu(topology: Topology) -> str:
    chips = math.prod(topology.shape)
    if (topology.kind == "v5e" and chips < 8) or (topology.kind == "v6e" and chips == 2):
        raise JobError(f"XPK 1.16 has no slice of {topology.kind} this small: the smallest is {topology.kind}:2x4")
    # One number of v4 and v5p chips comes in several shapes.
    size = "x".join(map(str, topology.shape)) if len(topology.shape) == 3 else str(chips)
    return f"{'v5litepod' if topology.kind == 'v5e' else topology.kind}-{size}"


def _place(options: Options) -> tuple[str, ...]:
    return f"--cluster={options.cluster}", *_given(options, "project", "zone", "namespace")


def _given(options: Options, *names: str) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name in names if (value := getattr(options, name)))
