"""The Dockerfile, as far as it can be judged without Docker: what it copies, installs, and runs as."""

import configparser
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TEXT = re.sub(r"\\\n", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
STEPS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line.strip()]
INSTALL = next(words for step, words in STEPS if step == "RUN" and "pip" in words)


def test_it_copies_what_there_is_and_what_the_context_keeps():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [word for step, words in STEPS if step == "COPY" and "--from" not in words for word in words.split()[:-1]]
    assert len(sources) >= 5
    for source in sources:
        assert (ROOT / source).exists()
        assert source in kept
    assert kept == set(sources)


def test_the_last_stage_leaves_root_and_has_no_entry_point():
    steps = [step for step, _ in STEPS]
    last = STEPS[len(steps) - 1 - steps[::-1].index("FROM") :]
    assert ("USER", "${USER_ID}") in last
    assert ("ARG", "USER_ID=1000") in last
    assert "ENTRYPOINT" not in steps
    assert not any("apt-get" in words for step, words in last if step == "RUN")


def _installed(folder: pathlib.Path, accelerator: str) -> tuple[subprocess.CompletedProcess, list[list[str]]]:
    """Run the install step with a Python that only notes what it is asked for."""
    log = folder / "log"
    (folder / "python").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\n')
    (folder / "python").chmod(0o755)
    script = INSTALL.replace("/opt/dfjax/bin/python", str(folder / "python")).replace(
        "/opt/dfjax", str(folder / "made")
    )
    (folder / "made").mkdir()
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "ACCELERATOR": accelerator, "PYTHON": "3.12"}
    done = subprocess.run(["sh", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    lines = log.read_text().splitlines() if log.exists() else []
    return done, [line.split() for line in lines if " install " in line]


@pytest.mark.parametrize("accelerator", ["cpu", "tpu", "cuda"])
def test_it_installs_extras_that_there_are_under_constraints_that_there_are(accelerator, tmp_path):
    done, calls = _installed(tmp_path, accelerator)
    assert done.returncode == 0, done.stderr
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = calls[0][-1].removeprefix(".[").removesuffix("]").split(",")
    assert set(extras) <= set(setup["options.extras_require"])
    assert (accelerator in extras) == (accelerator != "cpu")
    assert len(calls) == 2
    for words in calls:
        assert (ROOT / words[words.index("--constraint") + 1]).is_file()


def test_an_unknown_accelerator_is_refused(tmp_path):
    done, calls = _installed(tmp_path, "gpu")
    assert done.returncode == 2 and calls == []
    assert "ACCELERATOR is cpu, tpu or cuda, not gpu" in done.stderr
