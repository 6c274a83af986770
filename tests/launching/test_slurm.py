"""What Slurm is handed: the file, the command, and what is refused before. tests/slurm runs it for real."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from dfjax.launching import slurm
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec
from dfjax.plan import topology

ODD = '/runs/it\'s "one" $HOME `id`\nnew'


def _job(devices: str = "cpu:2", **fields) -> JobSpec:
    parsed = topology.parse(devices)
    given = {"name": "demo", "config": pathlib.Path("/r/emoji.py"), "workdir": "/runs/demo", "hosts": parsed.hosts}
    return JobSpec(topology=parsed, **given | fields)


def _directives(job: JobSpec, **options) -> dict[str, str]:
    lines = slurm.text(job, slurm.Options(**options)).splitlines()
    words = [line.removeprefix("#SBATCH --").partition("=") for line in lines if line.startswith("#SBATCH")]
    return {key: value for key, _, value in words}


def _command(text: str) -> list[str]:
    """The words that bash reads in a file."""
    part = text[text.index("command=(") : text.index("\n)\n") + 2]
    done = subprocess.run(["bash", "-c", f'{part}\nprintf "%s\\0" "${{command[@]}}"'], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_the_file_is_one_that_bash_reads():
    text = slurm.text(_job(environment=(("A", "b 'c'\n$d"),)), slurm.Options(setup=("module load cuda",)))
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert "\nmodule load cuda\n" in text


def test_what_the_site_asks_for_is_passed_through():
    asked = {"partition": "a,b", "account": "me", "constraint": "a100&nvlink", "qos": "long", "mem": "0"}
    found = _directives(_job(hosts=3, time_limit_seconds=93_784), **asked, notice_seconds=300)
    assert {key: found[key] for key in asked} == asked
    assert (found["nodes"], found["ntasks-per-node"]) == ("3", "1")
    assert (found["time"], found["signal"]) == ("1-02:03:04", "B:TERM@300")
    assert {"requeue", "open-mode"} <= found.keys()


@pytest.mark.parametrize(("per", "tasks"), [("node", "1"), ("gpu", "8")])
def test_gpus_get_a_process_each_or_share_one_a_node(per, tasks):
    text = slurm.text(_job("h100:8*4"), slurm.Options(process_per=per, cpus_per_task=12))
    found = _directives(_job("h100:8*4"), process_per=per)
    assert (found["nodes"], found["ntasks-per-node"], found["gpus-per-node"]) == ("4", tasks, "8")
    assert "--cpus-per-task=12 --label" in text
    # JAX would go on without GPUs.
    assert "export JAX_PLATFORMS=cuda,cpu" in text


def test_the_name_of_the_gpus_is_the_sites():
    assert _directives(_job("h100:8"), gpus_per_node="hopper:8")["gpus-per-node"] == "hopper:8"


def test_words_arrive_whole():
    prompt = "--config.sample.prompts=('a \"$x\" `b`\\'',\n'two')"
    job = _job(workdir=ODD, overrides=(prompt,))
    text = slurm.text(job, slurm.Options())
    wanted = [sys.executable, "-m", "dfjax.cli.main", "train", "--config=/r/emoji.py", f"--workdir={ODD}", prompt]
    assert _command(text) == wanted
    (command,) = slurm.hand_over(job, slurm.Options(sbatch_args=("--comment=a b",))).commands
    folder = f"{ODD}/launch"
    log = f"--output={folder}/demo-%j.out"
    assert command == ("sbatch", "--parsable", log, "--comment=a b", f"{folder}/demo.sbatch")


def test_a_sweep_is_an_array_of_the_lines_that_are_open():
    job = _job(lines=(1, 2, 3, 5, 7, 8), parallel=2)
    assert _directives(job)["array"] == "1-3,5,7-8%2"
    text = slurm.text(job, slurm.Options(python="python"))
    assert '  --line="$SLURM_ARRAY_TASK_ID"\n' in text
    assert "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" in text
    assert _directives(dataclasses.replace(job, lines=(4,), parallel=0))["array"] == "4"


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"devices": "v5e:4x4"}, {}, "TPUs are for xpk and tpu_vm"),
        ({"workdir": "gs://bucket/run"}, {}, "a folder that all nodes share"),
        ({"workdir": "/runs/50%j"}, {}, "reads % and backslashes"),
        ({}, {"partition": "a b"}, "--partition='a b' has spaces"),
        ({}, {"gpus_per_node": "8"}, "give that of the GPUs"),
        ({"time_limit_seconds": 60}, {"notice_seconds": 60}, "is over before --notice_seconds=60"),
        ({}, {"notice_seconds": 0}, "at least 1"),
    ],
)
def test_what_slurm_cannot_be_asked_is_refused_in_a_line(fields, options, words):
    with pytest.raises(JobError, match=words) as caught:
        slurm.hand_over(_job(**fields), slurm.Options(**options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("word", "told"), [("--test-only", (True, False)), ("--wait", (False, True))])
def test_a_trial_is_no_start_and_a_wait_may_end_with_the_jobs_status(word, told):
    handover = slurm.hand_over(_job(), slurm.Options(sbatch_args=(word,)))
    assert (handover.is_trial, handover.is_waited_for) == told
