"""Two processes that save, of which one fails alone: both know it soon, and save later."""

import json
import os
import socket
import subprocess
import sys

import pytest

# Of 60 that the store's own limit would take.
SOON_SECONDS = 40.0


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By case, what each process found, and the seconds it took."""
    folder = tmp_path_factory.mktemp("saves")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.multihost.saves_program", address, str(rank), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, words) in zip(processes, said, strict=True):
        assert process.returncode == 0, words[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_checkpoint_and_a_snapshot_may_be_on_their_way_at_once(found, rank):
    assert found[rank]["together"]["found"] == {"checkpoint": [*range(1, 7)], "snapshot": [*range(1, 7)]}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("case", ["no_room_on_the_first", "no_room_on_the_second"])
def test_where_one_has_no_room_nobody_waits_for_it_and_the_next_save_is_whole(found, case, rank):
    assert found[rank][case]["found"] == {"checkpoint": [1, 3], "snapshot": [1, 3]}
    assert found[rank][case]["seconds"] < SOON_SECONDS


@pytest.mark.parametrize("rank", [0, 1])
def test_where_the_first_cannot_give_the_step_its_name_the_others_know(found, rank):
    assert found[rank]["no_name"]["found"] == {"checkpoint": [1, 3], "snapshot": []}
    assert found[rank]["no_name"]["seconds"] < SOON_SECONDS
