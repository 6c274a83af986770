"""`dfjax plan` as a user calls it: stdout has the plan and nothing else, the exit status says whether it fits."""

import importlib.util
import json

import pytest

from tests import command


def _plan(*flags):
    return command.dfjax("plan", f"--config={command.RECIPE}", *flags)


@pytest.fixture(scope="module")
def planned():
    # Two devices, so that something is sent.
    return _plan("--topology=cpu:2", "--json", "--config.mesh.data=1", "--config.mesh.fsdp=-1")


@pytest.mark.long
def test_json_is_one_object_on_stdout_and_progress_is_on_stderr(planned):
    assert planned.returncode == 0, planned.stderr
    found = json.loads(planned.stdout)
    assert found["fits"] is True
    assert found["mesh"] == {"replica": 1, "data": 1, "fsdp": 2, "tensor": 1, "context": 1}
    assert "compiling the step for cpu:2" in planned.stderr


@pytest.mark.long
def test_the_collectives_of_fsdp_are_in_it(planned):
    found = json.loads(planned.stdout)
    moved = {total["kind"]: total for total in found["collectives"] if total["axes"] == ["fsdp"]}
    assert moved["all-gather"]["count"] > 0
    assert found["roofline_seconds"]["interconnect"] > 0
    # Of the parameters nearly all are split, and gathered for the forward pass and at most once more for the backward.
    assert 0.9 < moved["all-gather"]["payload_bytes"] / (4 * found["params"]) <= 2


def test_shardings_are_printed_without_compiling():
    done = _plan("--topology=cpu:2", "--shardings", "--config.mesh.data=1", "--config.mesh.fsdp=-1")
    assert done.returncode == 0, done.stderr
    first, *table = done.stdout.splitlines()
    assert first == "mesh: replica 1 x data 1 x fsdp 2 x tensor 1 x context 1"
    (row,) = [line.split() for line in table if line.startswith("patch_in/kernel")]
    # 192 x 32 in float32, over two devices.
    assert row[-1] == f"{192 * 32 * 4 // 2:,}"
    assert "compiling" not in done.stderr


@pytest.mark.long
def test_shardings_as_json():
    done = _plan("--topology=cpu:2", "--shardings", "--json", "--config.mesh.data=1", "--config.mesh.fsdp=-1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mesh"]["fsdp"] == 2
    assert found["shardings"]["patch_in/kernel"] == {"shape": [192, 32], "split_over": [None, "fsdp"]}


@pytest.mark.gate(2)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--topology=v5e:3x3",), "no such slice is offered; try v5e:2x4"),
        (("--topology=v7",), "unknown kind 'v7'; did you mean"),
        (("--topology=cpu:2", "--config.mesh.data=3"), "try --config.mesh.data=-1"),
        (("--topology=cpu", "--config.model.attention=splash"), "splash is no kernel of the platform cpu"),
        ((), "--topology"),
    ],
)
def test_wrong_use_is_told_in_words(flags, words):
    done = _plan(*flags)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is missing, which compiles for TPUs on a CPU: pip install libtpu",
)
def test_a_slice_of_tpus_is_planned_on_this_machine():
    # The network is tiny; the topology, its compiler and its memory are the real ones.
    done = _plan("--topology=v5e:2x2", "--json", "--config.mesh.data=1", "--config.mesh.fsdp=-1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["topology"], found["hbm_bytes"]) == ("v5e:2x2", 16 * 2**30)
    kinds = {total["kind"] for total in found["collectives"]}
    assert {"all-gather"} <= kinds
    assert 0 < found["mfu_bound"] < 1
