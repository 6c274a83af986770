"""Evaluation inside training."""

import types

from dfjax.checkpoint.lock import Lock
from dfjax.checkpoint.workdir import Workdir
from dfjax.evals import training
from dfjax.evals.errors import EvaluationError
from tests import small


class _Failing:
    def __init__(self, *_): ...
    def ceiling(self): ...

    def measure(self, *_):
        raise EvaluationError("there is nothing to see")


def test_a_training_goes_on_where_a_checkpoint_cannot_be_evaluated(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "Suite", _Failing)
    config = small.config({"eval.every_steps": 3})
    run = types.SimpleNamespace(config=config, mesh=None, workdir=Workdir(tmp_path), network=None)
    hook = training.hook(run)
    assert hook.every_steps == 3
    assert hook.call(types.SimpleNamespace(ema=None, attempt=0), 6) == ({}, {})
    assert "step 6 is not evaluated: there is nothing to see" in caplog.text


def test_who_evaluates_beside_the_training_is_left_to_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "Suite", _Failing)
    config = small.config({"eval.every_steps": 3})
    run = types.SimpleNamespace(config=config, mesh=None, workdir=Workdir(tmp_path), network=None)
    hook = training.hook(run)
    other = Lock(tmp_path / "eval")
    assert other.take()
    hook.call(types.SimpleNamespace(ema=None, attempt=0), 6)
    assert "another process evaluates this run" in caplog.text
    other.leave()
    hook.call(types.SimpleNamespace(ema=None, attempt=0), 9)
    assert "step 9 is not evaluated: there is nothing to see" in caplog.text
