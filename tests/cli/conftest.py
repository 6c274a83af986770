"""One small run, trained once by the command, on a data set of which three pictures are damaged."""

import pickle

import pytest

from dfjax.checkpoint.workdir import Workdir
from tests import command, shared
from tests.data import tiny

DAMAGED = (3, 4, 17)
OVERRIDES = ("train.num_steps=6", "train.log_every_steps=2", "train.validate_every_steps=3", "train.keep_last=1")


@pytest.fixture(scope="session")
def damaged(tmp_path_factory) -> str:
    folder = shared.folder(tmp_path_factory, "damaged")
    with shared.alone(folder):
        tiny.TinyLabelled(data_dir=str(folder), damaged=DAMAGED).download_and_prepare()
    return str(folder)


@pytest.fixture(scope="session")
def trained(damaged, tmp_path_factory):
    """The finished run, and what the command said; of all processes one has trained it."""
    folder = shared.folder(tmp_path_factory, "trained")
    room, said = Workdir(folder / "run"), folder / "said"
    with shared.alone(folder):
        if not said.exists():
            done = command.dfjax(*command.train(room.path, damaged, *OVERRIDES))
            assert done.returncode == 0, done.stderr
            said.write_bytes(pickle.dumps(done))
    return room, pickle.loads(said.read_bytes())
