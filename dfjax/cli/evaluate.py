"""dfjax evaluate --workdir=RUN [--step=all|latest|N] [--watch] [--num_images=N] [--split=SPLIT]

Draws with each checkpoint and measures: a line a figure to stdout and to RUN/eval/metrics.jsonl, curves to TensorBoard,
pictures to RUN/eval. What was measured with the same settings is not measured again, so the same command goes on where
it was ended.

    --watch                                  beside a run that trains: each checkpoint as it appears, to the last one
    --evaluators=validation,distances        what to measure; each key of the config's eval section is a flag
    --features=inception_v3 --weights=FILE   distances on other features
    --guidance=2 --sampler=dpmpp_2m          draw otherwise than the run's own sample section says
"""

import contextlib
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from dfjax import config as config_lib
from dfjax.cli import app

if TYPE_CHECKING:
    from dfjax.checkpoint.lock import Lock
    from dfjax.checkpoint.workdir import Workdir
    from dfjax.evals.suite import Suite
    from dfjax.sample import restore

app.define_recipe()
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of a trained run", required=True)
_STEP = flags.DEFINE_string("step", "all", "training step of a checkpoint, or `latest`, or `all`")
_WATCH = flags.DEFINE_bool("watch", False, "wait for further checkpoints until the run's last one is evaluated")
_SPLIT = flags.DEFINE_string("split", "", "draw captions of this split, and compare with its pictures; empty: train's")
_STATISTICS = flags.DEFINE_string("reference", "", "file of reference statistics, made if missing; empty: in the cache")
_POLL = flags.DEFINE_float("poll_seconds", 5.0, "how often --watch looks for a new checkpoint", lower_bound=0.1)
_PATIENCE = flags.DEFINE_float(
    "patience_seconds", 3600.0, "how long --watch waits where nothing trains and nothing changes", lower_bound=0.0
)
_JSON = flags.DEFINE_bool("json", False, "print each figure as a line of JSON")
_EVAL = app.define_section("eval", ("every_steps",))
_SAMPLE = app.define_section("sample", ("prompts", "guide"))

_log = logging.getLogger(__name__)

# How long after an error of reading a checkpoint is looked for again.
_DELETED_SECONDS = 2.0


def main(rest: list[str]) -> None:
    """Wait, load, draw, measure, write; checkpoint by checkpoint."""
    app.refuse_rest(rest)
    from dfjax.checkpoint.lock import Lock
    from dfjax.checkpoint.workdir import Workdir
    from dfjax.evals import watch
    from dfjax.evals.errors import EvaluationError

    workdir = Workdir(Path(_WORKDIR.value))
    if not _WATCH.value and all(workdir.incomplete(step) for step in workdir.steps()):
        workdir.require_checkpoint()
    folder = workdir.path / "eval"
    with contextlib.ExitStack() as stack:
        evaluation: _Evaluation | None = None
        wanted = watch.steps(
            workdir,
            _STEP.value,
            _WATCH.value,
            lambda step: evaluation is not None and evaluation.is_done(step),
            _POLL.value,
            _PATIENCE.value,
        )
        for step in wanted:
            if evaluation is None:
                # Not before there is a run: it would not begin in a folder that has something else in it.
                folder.mkdir(exist_ok=True)
                lock = Lock(folder)
                _take(lock, workdir)
                stack.callback(lock.leave)
                evaluation = _Evaluation(workdir, folder)
            evaluation.take(step)
        if evaluation is not None and evaluation.unread:
            raise EvaluationError(f"not evaluated, as said above: step {', '.join(map(str, evaluation.unread))}")


def _take(lock: "Lock", workdir: "Workdir") -> None:
    """Make the figures this process's own to write. A watch waits for another one, which may be of training itself."""
    if lock.take():
        return
    if not _WATCH.value:
        raise app.UsageError(f"another process evaluates {workdir.path}: wait for it to end, or look at what it writes")
    _log.info("another process evaluates %s: waiting for it to end", workdir.path)
    while not lock.take(_POLL.value):
        pass


class _Evaluation:
    """The suite of a run, made with the first checkpoint that there is."""

    def __init__(self, workdir: "Workdir", folder: Path):
        from dfjax.parallel import mesh as mesh_lib

        self._workdir, self._folder = workdir, folder
        self._mesh = mesh_lib.make(config_lib.Mesh())
        self._suite: Suite | None = None
        self.unread: list[int] = []

    def is_done(self, step: int) -> bool:
        """Whether nothing is missing of a step, as far as can be told without reading its weights."""
        from dfjax.checkpoint.store import CheckpointError, Checkpoints

        if self._suite is None:
            return False
        try:
            with Checkpoints(self._workdir.checkpoints) as checkpoints:
                return self._suite.is_done(step, int(checkpoints.meta(step).get("attempt", 0)))
        except CheckpointError:
            return False

    def take(self, step: int) -> None:
        """Evaluate a step, or say why it is left out: it may have been deleted while it was read."""
        from dfjax.checkpoint.store import CheckpointError
        from dfjax.evals import watch
        from dfjax.sample import restore

        try:
            trained = restore.load(self._workdir.path, self._mesh, step)
        except CheckpointError as error:
            # What is just being deleted loses its files before its name.
            time.sleep(min(_POLL.value, _DELETED_SECONDS))
            if step in self._workdir.steps() and not self._workdir.incomplete(step):
                if _STEP.value != watch.ALL:
                    raise
                # The others are as good as before.
                _log.error("step %d is passed over: %s", step, error)
                self.unread.append(step)
                return
            _log.warning(
                "step %d is passed over: it was deleted before it was read (%s). train.keep_last and "
                "train.keep_every_steps keep more",
                step,
                str(error).split(";")[0],
            )
            return
        if self._suite is None:
            self._suite = self._make(trained)
            _print(self._suite.ceiling())
        if not self._suite.is_done(step, trained.attempt):
            _log.info("evaluating step %d", step)
            _print(self._suite.measure(trained.params, step, trained.attempt))

    def _make(self, trained: "restore.Trained") -> "Suite":
        from dfjax.evals.bench import Bench, Model
        from dfjax.evals.suite import Suite
        from dfjax.sample import restore
        from dfjax.training import report

        config = _config(trained.network.config)
        guide = restore.load(config.sample.guide, self._mesh) if config.sample.guide else None
        statistics = Path(_STATISTICS.value) if _STATISTICS.value else None
        is_own = config.sample == trained.network.config.sample
        bench = Bench(config, self._mesh, self._folder, _SPLIT.value, statistics, is_own, guide)
        writer = report.tensorboard(self._folder, wanted=config.train.tensorboard, asynchronous=False)
        return Suite(bench, Model(trained.network, guide), writer)


def _config(config: config_lib.Config) -> config_lib.Config:
    """The run's own config with what the flags change. Raises ConfigError for what cannot work."""
    wishes = app.read_section("eval", _EVAL), app.read_section("sample", _SAMPLE)
    named = zip(("eval", "sample"), wishes, strict=True)
    return config.with_({f"{section}.{name}": value for section, wish in named for name, value in wish.items()})


def _print(lines: list[dict]) -> None:
    from dfjax.evals.suite import words

    for line in lines:
        if _JSON.value:
            print(json.dumps(line), flush=True)
        else:
            error = None if line["stderr"] is None else float(line["stderr"])
            said = words(float(line["value"]), error)
            print(f"step {line['step']}  {line['split']}  {line['name']}  {said}", flush=True)
