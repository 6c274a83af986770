"""Runs on two nodes of a real Slurm, disturbed in five ways: each is requeued, and ends as the calm one did.

All go side by side, since most of their time they wait for Slurm.
"""

import concurrent.futures
import pathlib

import pytest

from tests import command
from tests.faults import compare
from tests.plugin_groups import asked_for
from tests.slurm import runs
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.timeout(900)

_SECONDS = 400


class Job:
    """A run that takes its time, as a job of a Slurm that it is disturbed in."""

    def __init__(self, cluster: Cluster, workdir: pathlib.Path, arguments: list[str]):
        self.cluster, self.workdir = cluster, workdir
        flags = [*arguments, "--hosts=2", "--time_limit=30m"]
        self.id = runs.launch(cluster, *flags, python=runs.slow_python(workdir.parent))

    def wait_for_step(self) -> None:
        """Wait until it is amid the steps that it takes slowly."""
        self.cluster.until(lambda: runs.beat(self.workdir, 0).get("step", 0) > runs.SLOW_FROM, _SECONDS)

    def wait_for_end(self) -> None:
        self.cluster.wait(self.id, _SECONDS)

    def nodes(self) -> list[str]:
        (words,) = self.cluster.run("squeue", "--noheader", f"--job={self.id}", "--format=%N").split()
        return self.cluster.run("scontrol", "show", "hostnames", words).split()


def _told(job: Job) -> None:
    job.cluster.run("scancel", "--signal=TERM", job.id)


def _evicted(job: Job) -> None:
    where = ["--nodes=2", f"--nodelist={','.join(job.nodes())}", "--partition=high"]
    job.cluster.run("sbatch", *where, "--output=/dev/null", "--wrap=srun sleep 1")


def _out_of_time(job: Job) -> None:
    minutes = job.cluster.seconds(job.id) // 60 + 1
    job.cluster.run("scontrol", "update", f"jobid={job.id}", f"TimeLimit={minutes}")
    job.cluster.until(lambda: job.cluster.restarts(job.id), _SECONDS)
    # Its next start is not to meet the same limit.
    job.cluster.run("scontrol", "update", f"jobid={job.id}", "TimeLimit=30")


def _killed(job: Job) -> None:
    beat = runs.beat(job.workdir, 1)
    job.cluster.nodes[beat["host"]].run("kill", "-KILL", str(beat["pid"]))


def _cut_off(job: Job) -> None:
    job.cluster.nodes[job.nodes()[1]].cut()


# Each with what is said of its end, and whether it counts as a restart.
DISTURBANCES = {
    "told": (_told, "status 42: to be started again", 1),
    "evicted": (_evicted, "status 42: to be started again", 0),
    "out_of_time": (_out_of_time, "status 42: to be started again", 1),
    "killed": (_killed, "status 137: to be started again", 1),
    "cut_off": (_cut_off, "DUE TO NODE FAILURE", 0),
}


@pytest.fixture(scope="module")
def calm(cluster, emoji_dir, cache, tmp_path_factory) -> pathlib.Path:
    """The run that nobody disturbs."""
    workdir = tmp_path_factory.mktemp("runs") / "calm"
    job = runs.launch(cluster, *runs.words(workdir, emoji_dir, cache), "--hosts=2")
    cluster.wait(job, _SECONDS)
    return workdir


@pytest.fixture(scope="module")
def disturbed(cluster, calm, emoji_dir, cache, tmp_path_factory, request):
    """The runs that are disturbed, each as it will be."""
    folder = tmp_path_factory.mktemp("disturbed")
    asked = asked_for(request, "name")

    def disturb(name: str) -> Job:
        (folder / name).mkdir()
        workdir = folder / name / "run"
        job = Job(cluster, workdir, runs.words(workdir, emoji_dir, cache))
        job.wait_for_step()
        DISTURBANCES[name][0](job)
        job.wait_for_end()
        return job

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        # Those that wait longest come first.
        yield {name: pool.submit(disturb, name) for name in reversed(DISTURBANCES) if name in asked}


@pytest.mark.long
def test_two_nodes_give_the_losses_of_two_processes_of_this_machine(calm, emoji_dir, cache, tmp_path):
    variables = {"NPROC": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    here = command.start_joined(2, "train", *runs.words(tmp_path / "run", emoji_dir, cache), **variables)
    assert [status for status, _ in command.ends(here, _SECONDS)] == [0, 0]
    wanted = runs.losses(tmp_path / "run")
    assert max(wanted) == runs.STEPS
    assert runs.losses(calm) == wanted


@pytest.mark.gate(name=("killed",))
@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_run_is_requeued_and_ends_as_the_calm_one_did(name, disturbed, calm, cluster):
    _, words, counted = DISTURBANCES[name]
    job = disturbed[name].result()
    assert words in runs.log(job.workdir)
    assert cluster.restarts(job.id) == 1
    count = job.workdir / "launch" / f"restarts-{job.id}"
    assert (int(count.read_text()) if count.exists() else 0) == counted
    wanted, found = (compare.without_means(compare.read(workdir)) for workdir in (calm, job.workdir))
    assert wanted.arrays
    assert compare.difference(wanted, found).names == ()
