"""Evaluation inside training: the evaluators of the config's eval section, on the mesh that trains."""

import logging

import jax

from dfjax.checkpoint.lock import Lock
from dfjax.core.errors import DfjaxError
from dfjax.evals.bench import Bench, Model
from dfjax.evals.suite import Suite
from dfjax.runtime import hosts
from dfjax.sample import restore
from dfjax.training import report
from dfjax.training.hooks import Hook
from dfjax.training.run import Run

_log = logging.getLogger(__name__)


def hook(run: Run) -> Hook:
    """What is called every ``eval.every_steps`` steps; writes to TensorBoard and RUN/eval.

    Raises:
      DfjaxError: what an evaluator needs is missing. Later errors are logged: a run is worth more than its figures.
    """
    guide = run.config.sample.guide
    model = Model(run.network, restore.load(guide, run.mesh) if guide else None)
    bench = Bench(run.config, run.mesh, run.workdir.path / "eval", guide=model.guide)
    suite = Suite(bench, model, report.tensorboard(bench.folder, wanted=run.config.train.tensorboard))
    bench.folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(bench.folder)

    def call(state, step: int):
        if not _is_ours(lock):
            _log.warning("step %d is not evaluated here: another process evaluates this run", step)
            return {}, {}
        try:
            suite.ceiling()
            suite.measure(state.ema, step, int(state.attempt))
        except DfjaxError as error:
            # All processes have the same pictures, and so the same error.
            _log.error("step %d is not evaluated: %s", step, error)
        except Exception:
            _log.exception("step %d is not evaluated", step)
        finally:
            if jax.process_index() == 0:
                lock.leave()
        return {}, {}

    return Hook(run.config.eval.every_steps, call)


def _is_ours(lock: Lock) -> bool:
    """Whether the first process could take the lock that `dfjax evaluate` takes; the same answer in all."""
    is_taken = jax.process_index() == 0 and lock.take()
    return hosts.from_first(b"ours" if is_taken else b"") == b"ours"
