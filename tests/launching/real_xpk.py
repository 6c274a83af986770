"""The XPK that tests run, which has a virtual environment of its own: `make` puts it there where all is required."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = pathlib.Path(os.environ.get("DFJAX_XPK", ROOT / ".venv-xpk"))
PROGRAM = pathlib.Path(__file__).with_name("jobset_program.py")
REASON = f"no XPK in {FOLDER}: DFJAX_REQUIRE=all make test installs it there, and DFJAX_XPK names another folder"

required = pytest.mark.skipif(not (FOLDER / "bin" / "xpk").exists(), reason=REASON)


def manifest(command: tuple[str, ...], folder: pathlib.Path) -> dict:
    """What XPK writes for a command of `dfjax launch xpk`, and the faults that strict schemas find in it."""
    file = folder / "jobset.yaml"
    # Nothing is asked for from any cluster.
    offline = [
        "--dry-run",
        "--skip-validation",
        "--project=p",
        "--zone=us-central1-a",
        f"--output-manifest-file={file}",
    ]
    words = [FOLDER / "bin" / command[0], *command[1:], *offline]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"HOME": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    judged = subprocess.run([FOLDER / "bin" / "python", PROGRAM, file], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr
    return json.loads(judged.stdout)


def container(jobset: dict) -> dict:
    """The only container of the only Job of a JobSet."""
    (job,) = jobset["spec"]["replicatedJobs"]
    (only,) = job["template"]["spec"]["template"]["spec"]["containers"]
    return only
