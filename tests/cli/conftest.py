"""One small run, trained once by the command, on a data set of which three pictures are damaged."""

import pytest

from dfjax.checkpoint.workdir import Workdir
from tests import command
from tests.data import tiny

DAMAGED = (3, 4, 17)
OVERRIDES = ("train.num_steps=6", "train.log_every_steps=2", "train.validate_every_steps=3", "train.keep_last=1")


@pytest.fixture(scope="session")
def damaged(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("damaged"))
    tiny.TinyLabelled(data_dir=folder, damaged=DAMAGED).download_and_prepare()
    return folder


@pytest.fixture(scope="session")
def trained(damaged, tmp_path_factory):
    """The finished run, and what the command said."""
    room = Workdir(tmp_path_factory.mktemp("run"))
    done = command.dfjax(*command.train(room.path, damaged, *OVERRIDES))
    assert done.returncode == 0, done.stderr
    return room, done
