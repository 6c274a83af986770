"""`dfjax checkpoint`: what a user is told, and the exit status."""

import json
import shutil

from tests import command


def _checkpoint(action, room, *flags):
    return command.dfjax("checkpoint", action, f"--workdir={room}", command.compiled(), *flags)


def test_a_run_is_listed_inspected_and_verified_and_a_fault_is_named(trained, tmp_path):
    room = shutil.copytree(trained[0].path, tmp_path / "run")
    (listed,) = json.loads(_checkpoint("list", room, "--json").stdout)["checkpoints"]
    assert (listed["step"], listed["missing"], listed["checksums"]) == (6, [], True)
    told = json.loads(_checkpoint("inspect", room, "--json").stdout)
    assert told["meta"]["position"] == 6 * 16
    assert told["items"]["ema"] == told["items"]["params"]
    done = _checkpoint("verify", room)
    assert (done.returncode, done.stdout) == (0, "step 6: whole\n")
    (room / "checkpoints" / "step_6" / "tokenizer" / "metadata").write_text("{}")
    done = _checkpoint("verify", room)
    assert (done.returncode, done.stdout) == (1, "step 6: tokenizer/metadata is damaged\n")
    assert _checkpoint("prune", room).returncode == 1


def test_what_cannot_be_asked_is_refused_in_a_line(tmp_path):
    done = _checkpoint("verfy", tmp_path)
    assert done.returncode == 2
    assert "say `dfjax checkpoint list or inspect or verify or prune`" in done.stderr
    done = _checkpoint("list", tmp_path)
    assert done.returncode == 1
    assert "has no checkpoint: `dfjax train --workdir=" in done.stderr
