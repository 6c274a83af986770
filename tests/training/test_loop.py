"""The loop: hooks, and the end of a run that is lost."""

import json
import resource

import pytest

from dfjax.checkpoint import inventory
from dfjax.checkpoint.workdir import Workdir
from dfjax.core.errors import DfjaxError, Preempted
from dfjax.data.errors import DataError
from dfjax.runtime.preemption import Preemption
from dfjax.training import hooks, loop
from tests import small
from tests.data import tiny

VALUES = {
    "data.validation_split": "",
    "train.num_steps": 4,
    "train.log_every_steps": 1,
    "train.checkpoint_every_steps": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    return {"data.dir": folder}


def test_a_hook_is_called_when_due_and_after_the_last_step(data, tmp_path):
    called = []

    def make(run):
        assert run.start == 0

        def call(state, number):
            called.append((number, int(state.step)))
            return {"hook/number": float(number)}, {}

        return hooks.Hook(3, call)

    assert loop.train(small.config(VALUES | data), tmp_path, hooks=(make,)) == 4
    assert called == [(3, 3), (4, 4)]
    assert Workdir(tmp_path).metrics.read_text().count("hook/number") == 2
    assert Workdir(tmp_path).steps() == [2, 4]


class Killed(BaseException):
    """Ends a run where it stands."""


def _every_third(called, dies_at=None):
    def make(run):
        def call(state, number):
            called.append(number)
            if number == dies_at:
                raise Killed
            return {"hook/number": float(number)}, {}

        return hooks.Hook(3, call)

    return make


def _hook_lines(room: Workdir) -> list[int]:
    return [line["step"] for line in map(json.loads, room.metrics.read_text().splitlines()) if "hook/number" in line]


@pytest.mark.long
@pytest.mark.parametrize("dies_at", [3, 4])
def test_a_run_that_dies_in_a_hook_calls_it_again(dies_at, data, tmp_path):
    config = small.config(VALUES | data | {"train.checkpoint_every_steps": 1})
    with pytest.raises(Killed):
        loop.train(config, tmp_path, hooks=(_every_third([], dies_at),))
    room, called = Workdir(tmp_path), []
    # The checkpoint of that step would say that all is done.
    assert room.steps()[-1] == dies_at - 1
    loop.train(config, tmp_path, hooks=(_every_third(called),))
    assert called == ([3, 4] if dies_at == 3 else [4])
    assert _hook_lines(room) == [3, 4]


@pytest.mark.long
def test_what_a_run_that_is_told_to_end_leaves_out_is_done_when_it_goes_on(data, tmp_path):
    config, request, called = small.config(VALUES | data | {"train.num_steps": 7}), Preemption(600.0), []

    def ask(run):
        def call(state, number):
            if number == 2:
                request.ask("planted")
            return {}, {}

        return hooks.Hook(1, call)

    with pytest.raises(Preempted):
        loop.train(config, tmp_path, hooks=(ask, _every_third(called)), request=request)
    request.close(0.0)
    room = Workdir(tmp_path)
    assert (room.steps()[-1], called) == (3, [])
    # Once only in the file, however often the run goes on from there.
    with pytest.raises(Killed):
        loop.train(config, tmp_path, hooks=(_every_third(called, dies_at=6),))
    assert (room.steps()[-1], called) == (4, [3, 6])
    loop.train(config, tmp_path, hooks=(_every_third(called),))
    assert called == [3, 6, 6, 7]
    assert _hook_lines(room) == [3, 6, 7]


@pytest.mark.long
def test_a_lost_state_stops_the_run_with_advice_and_is_not_saved(data, tmp_path):
    values = VALUES | data | {"optim.learning_rate": 1e30, "optim.clip_norm": 0.0, "train.checkpoint_every_steps": 1}
    with pytest.raises(
        DfjaxError, match=r"norm of the parameters is inf after step \d: .*--config\.optim\.learning_rate"
    ):
        loop.train(small.config(values), tmp_path)
    assert Workdir(tmp_path).steps() == []


def test_a_run_on_bad_data_ends_with_words_and_goes_on_once_more_is_admitted(tmp_path):
    tiny.TinyLabelled(data_dir=str(tmp_path / "data"), damaged=range(20)).download_and_prepare()
    values = VALUES | {"data.dir": str(tmp_path / "data"), "data.max_bad_share": 0.5}
    room = Workdir(tmp_path / "run")
    with pytest.raises(DataError, match=r"of the (18|23) records that training visited are bad.*max_bad_share=0\.5"):
        loop.train(small.config(values), room.path)
    loop.train(small.config(values | {"data.max_bad_share": 1.0}), room.path)
    listed = [json.loads(line)["id"] for line in room.bad_records.read_text().splitlines()]
    assert len(listed) == len(set(listed)) == 20


@pytest.mark.long
def test_a_profile_of_a_few_steps_is_recorded_without_the_calls_of_python(data, tmp_path):
    loop.train(small.config(VALUES | data | {"train.num_steps": 16}), tmp_path, profile=True)
    (found,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    recorded = found.read_bytes()
    # The names of XLA's operations are there; a call of Python would be named "$loop.py:97 _steps".
    assert b"dot" in recorded
    assert b"$loop.py" not in recorded


def test_a_disk_that_is_full_for_a_while_costs_no_step(data, tmp_path, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def make(run):
        def call(state, number):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000 if number < 4 else before[0], before[1]))
            return {}, {}

        return hooks.Hook(1, call)

    try:
        loop.train(small.config(VALUES | data | {"train.num_steps": 6}), tmp_path, hooks=(make,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    room = Workdir(tmp_path)
    assert "step_2 could not be written" in caplog.text
    # The state of step 2 was gone when its save failed.
    assert 2 not in room.steps()
    assert room.steps()[-1] == 6
    assert inventory.verify(room, 6) == []
    steps = [json.loads(line)["step"] for line in room.metrics.read_text().splitlines() if "train/loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
