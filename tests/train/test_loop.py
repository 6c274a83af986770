"""The loop: hooks, and the end of a run that is lost."""

import pytest

from dfjax.checkpoint.workdir import Workdir
from dfjax.core.errors import DfjaxError
from dfjax.train import loop
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

        return loop.Hook(3, call)

    assert loop.train(small.config(VALUES | data), tmp_path, hooks=(make,)) == 4
    assert called == [(3, 3), (4, 4)]
    assert Workdir(tmp_path).metrics.read_text().count("hook/number") == 2
    assert Workdir(tmp_path).steps() == [2, 4]


def test_a_lost_state_stops_the_run_with_advice_and_is_not_saved(data, tmp_path):
    values = VALUES | data | {"optim.learning_rate": 1e30, "optim.clip_norm": 0.0, "train.checkpoint_every_steps": 1}
    with pytest.raises(
        DfjaxError, match=r"norm of the parameters is inf after step \d: .*--config\.optim\.learning_rate"
    ):
        loop.train(small.config(values), tmp_path)
    assert Workdir(tmp_path).steps() == []


def test_a_profile_of_a_few_steps_is_recorded(data, tmp_path):
    loop.train(small.config(VALUES | data | {"train.num_steps": 16}), tmp_path, profile=True)
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
