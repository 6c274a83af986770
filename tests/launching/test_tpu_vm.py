"""Each command line that gcloud is given, written out; gcloud's own parser judges them where it is at hand."""

import os
import pathlib
import shutil
import subprocess

import pytest

from dfjax.launching import tpu_vm
from dfjax.launching.errors import JobError
from dfjax.launching.job import JobSpec
from dfjax.plan import topology

ODD = "a b $HOME \"q\" 'p' \\x \n;é"
PLACE = ("--project=p", "--zone=us-west4-a")
TPUS = ("gcloud", "compute", "tpus")
START = (
    'if kill -0 "$(cat a.pid 2>/dev/null)" 2>/dev/null; then echo "a is at work here: stop it first" >&2; exit 1; fi; '
    "setsid env 'A=b c' dfjax-env/bin/dfjax train --config=/mnt/x.py --workdir=/mnt/runs/a "
    "'--config.sample.prompts=it'\"'\"'s' >>a.log 2>&1 </dev/null & echo $! >a.pid"
)
SETUP = (
    "sudo mount nfs:/share /mnt && python3 -m pip install --quiet --user uv && "
    "python3 -m uv venv --quiet --allow-existing --python=3.12 dfjax-env && "
    "python3 -m uv pip install --quiet --python=dfjax-env/bin/python 'dfjax[tpu] @ git+https://host/dfjax@v1'"
)


def _job(words: str, **more) -> JobSpec:
    fields = {"name": "a", "config": pathlib.Path("/mnt/x.py"), "workdir": "/mnt/runs/a"}
    return JobSpec(**fields | {"topology": topology.parse(words)} | more)


def _options(stage: str, **more) -> tpu_vm.Options:
    return tpu_vm.Options(**{"stage": stage, "project": "p", "zone": "us-west4-a"} | more)


CREATE = (*TPUS, "queued-resources", "create", "a", *PLACE)
SSH = (*TPUS, "tpu-vm", "ssh")
GOLDEN = {
    "create": (
        (_job("v5e:4x4"), _options("create", spot=True)),
        [
            (
                *CREATE,
                *("--node-id=a", "--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"),
            )
        ],
    ),
    "two slices": (
        (_job("v6e:16x16*2"), _options("create", reserved=True)),
        [
            (
                *CREATE,
                *("--node-count=2", "--node-prefix=a", "--accelerator-type=v6e-256"),
                *("--runtime-version=v2-alpha-tpuv6e", "--reserved"),
            )
        ],
    ),
    "v5p": (
        (_job("v5p:4x8x8"), _options("create", runtime_version="r")),
        [(*CREATE, "--node-id=a", "--accelerator-type=v5p-512", "--runtime-version=r")],
    ),
    "v4": (
        (_job("v4:2x2x4"), _options("create")),
        [(*CREATE, "--node-id=a", "--type=v4", "--topology=2x2x4", "--runtime-version=tpu-ubuntu2204-base")],
    ),
    "setup": (
        (
            _job("v5e:4x4"),
            _options("setup", source="dfjax[tpu] @ git+https://host/dfjax@v1", before="sudo mount nfs:/share /mnt"),
        ),
        [(*SSH, "a", *PLACE, "--worker=all", f"--command={SETUP}")],
    ),
    "start": (
        (
            _job("v5e:4x4", overrides=("--config.sample.prompts=it's",), environment=(("A", "b c"),)),
            _options("start"),
        ),
        [(*SSH, "a", *PLACE, "--worker=all", f"--command={START}")],
    ),
    "start of two slices": (
        (
            _job("v5e:4x4*2", overrides=("--config.sample.prompts=it's",), environment=(("A", "b c"),)),
            _options("start"),
        ),
        [(*SSH, f"a-{number}", *PLACE, "--worker=all", f"--command={START}") for number in range(2)],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_commands_are_these_and_gcloud_takes_them(name, tmp_path):
    (job, options), expected = GOLDEN[name]
    handover = tpu_vm.hand_over(job, options)
    assert list(handover.commands) == expected
    # Without an account it goes no further than its parser.
    if shutil.which("gcloud"):
        for words in handover.commands:
            assert "active account" in _gcloud(words, tmp_path), words
        bad = _gcloud((*handover.commands[0], "--no-such-flag"), tmp_path)
        assert "unrecognized arguments" in bad


def _gcloud(words: tuple[str, ...], folder: pathlib.Path) -> str:
    environment = os.environ | {"CLOUDSDK_CONFIG": str(folder), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode
    return done.stderr


def test_watching_stopping_and_resuming_are_said_for_each_stage():
    queue = tpu_vm.hand_over(*GOLDEN["create"][0])
    assert "describe a --project=p --zone=us-west4-a" in queue.watch and "--stage=setup" in queue.watch
    run = tpu_vm.hand_over(*GOLDEN["start of two slices"][0])
    assert "'--command=tail -n 50 -F a.log'" in run.watch and "--worker=0" in run.watch
    assert run.stop.count("kill -TERM") == 2
    assert "queued-resources delete a --project=p --zone=us-west4-a --force" in run.stop
    assert "--stage=start" in run.resume


@pytest.mark.parametrize(
    ("job", "options", "words"),
    [
        (_job("h100:8"), _options("start"), "tpu_vm is for TPUs"),
        (_job("cpu:2"), _options("create"), "--topology=v5e:4x4"),
        (_job("v5e:4x4"), _options("setup"), "--source"),
        (_job("v5e:4x4", lines=(0, 1)), _options("start"), "takes no sweep"),
        (_job("v5p:4x4x16"), _options("create"), "try v5p:4x8x8"),
    ],
)
def test_what_it_cannot_do_is_refused_in_words(job, options, words):
    with pytest.raises(JobError, match=words):
        tpu_vm.hand_over(job, options)


def test_the_remote_line_has_every_word_whole(tmp_path):
    program = tmp_path / "dfjax-env" / "bin" / "dfjax"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$ODD" "$@"\n')
    program.chmod(0o755)
    job = _job("v5e:4x4", overrides=(f"--config.sample.prompts={ODD}",), environment=(("ODD", ODD),), workdir=f"/{ODD}")
    line = tpu_vm.start(job, tpu_vm.Options())
    # As sshd calls it: in the home of the user, through the shell of the user.
    subprocess.run(["bash", "-c", f"{line}; wait"], cwd=tmp_path, check=True)
    told = (tmp_path / "a.log").read_text().split("\0")
    assert told[:-1] == [ODD, "train", "--config=/mnt/x.py", f"--workdir=/{ODD}", f"--config.sample.prompts={ODD}"]
    assert int((tmp_path / "a.pid").read_text()) > 1
