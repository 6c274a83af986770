"""What ends without being started again, and words that are hard to quote, through a real Slurm."""

import json
import pathlib

import pytest

from tests.slurm import runs


def _python(folder: pathlib.Path, line: str) -> pathlib.Path:
    """What jobs take for Python: it says that it is there, and then does what ``line`` says."""
    path = folder / "python"
    path.write_text(f"#!/bin/bash\necho here\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.gate(2)
@pytest.mark.parametrize(
    ("line", "starts", "words"),
    [
        ("exit 137", 2, "status 137: not started again, as it was 1 times"),
        ("exit 1", 1, ""),
        ("exit 2", 1, ""),
        # The first of two processes ends with an error, and the second one as it is told to end because of that.
        ('[[ $SLURM_PROCID = 0 ]] && exit 1; trap "exit 42" TERM; sleep 5; exit 1', 1, ""),
    ],
)
def test_an_error_is_no_reason_to_start_again_and_a_kill_is_so_often(line, starts, words, cluster, tmp_path):
    workdir = tmp_path / "run"
    flags = [f"--config={runs.RECIPE}", f"--workdir={workdir}", "--restarts=1"]
    hosts = 2 if "PROCID" in line else 1
    job = runs.launch(cluster, *flags, f"--hosts={hosts}", python=_python(tmp_path, line))
    assert cluster.wait(job, 120) == "FAILED"
    said = runs.log(workdir)
    assert said.count("here") == starts * hosts
    assert words in said


# As docs/launching.md has it: to save first, or to end at once.
@pytest.mark.parametrize("saves", [True, False])
def test_a_job_that_is_stopped_is_not_started_again(saves, cluster, tmp_path):
    workdir = tmp_path / "run"
    line = "trap 'echo told; sleep 2; echo saved; exit 42' TERM; sleep 100 & wait"
    flags = [f"--config={runs.RECIPE}", f"--workdir={workdir}"]
    job = runs.launch(cluster, *flags, python=_python(tmp_path, line))
    cluster.until(lambda: "here" in runs.log(workdir), 60)
    if saves:
        cluster.run("scontrol", "update", f"jobid={job}", "requeue=0")
        cluster.run("scancel", "--signal=TERM", job)
    else:
        cluster.run("scancel", job)
    assert cluster.wait(job, 60) == ("FAILED" if saves else "CANCELLED")
    # The other one may be killed before.
    assert "saved" in runs.log(workdir) or not saves
    assert runs.log(workdir).count("here") == 1
    assert cluster.restarts(job) == 0


@pytest.mark.long
def test_words_arrive_whole(cluster, emoji_dir, cache, tmp_path):
    workdir = tmp_path / 'it\'s a "run" of $HOME `id`\nand more'
    prompt = 'an "$apple" `with`\nit\'s worm'
    shorter = ("train.num_steps=12", "optim.warmup_steps=3", f"sample.prompts=({prompt!r},)")
    flags = runs.words(workdir, emoji_dir, cache, *shorter)
    job = runs.launch(cluster, *flags)
    assert cluster.wait(job, 300) == "COMPLETED", runs.log(workdir)
    assert json.loads((workdir / "config.json").read_text())["sample"]["prompts"] == [prompt]
    assert (workdir / "samples" / "step_12.png").exists()
