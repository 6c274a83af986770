"""The training loop."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import metric_writers, periodic_actions

from dfjax import config as config_lib
from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.data import pipeline, sources, synthetic
from dfjax.models.denoiser import null_features
from dfjax.parallel import mesh as mesh_lib
from dfjax.train import report, rollback, run, speed, step, validation
from dfjax.train.state import TrainState

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Hook:
    """Something done every so many steps (0: never) and after the last one.

    ``call(state, step)`` returns scalars by name, and pictures by name: uint8 [n, height, width, 3].
    """

    every_steps: int
    call: Callable[[TrainState, int], tuple[dict[str, float], dict[str, np.ndarray]]]


HookMaker = Callable[[run.Run], Hook]


def train(
    config: config_lib.Config, workdir: Path | str, *, hooks: tuple[HookMaker, ...] = (), profile: bool = False
) -> int:
    """Train until ``config.train.num_steps``, going on from the newest checkpoint in ``workdir`` if there is one.

    Args:
      hooks: made once the run is ready, called besides validation. profile: record a profile of a few steps.

    Returns:
      The last step.

    Raises:
      DfjaxError: a config, work directory or data set that cannot be used, in words that say what to do.
    """
    room = Workdir(Path(workdir))
    found = run.check_workdir(room)
    total = config.train.num_steps
    if found is Found.RESUMABLE and run.check_saved(room, config) >= total:
        _log.info("%s is finished: it has all its %d steps", room.path, total)
        return total
    # All that a user may have to mend is looked at before anything is written.
    parts = run.parts(config)
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(room.checkpoints, config.train.keep_last, config.train.keep_every_steps)
        stack.enter_context(checkpoints)
        ready = run.prepare(config, room, parts, checkpoints)
        snapshots = stack.enter_context(Snapshots(room.snapshots, write=True)) if config.optim.ema_stds else None
        if snapshots:
            snapshots.forget_after(ready.start)
        made = (_validation_hook(ready, parts.validation_source), *(make(ready) for make in hooks))
        going: run.Run | None = ready
        while going:
            going = _steps(going, checkpoints, snapshots, made, profile)
    return total


def _steps(
    ready: run.Run,
    checkpoints: Checkpoints,
    snapshots: Snapshots | None,
    hooks,
    profile: bool,
) -> run.Run | None:
    """All steps from ``ready.start``, with what is due after each. Where it has to go back: the run to go on with."""
    config, total = ready.config, ready.config.train.num_steps
    state, ledger, cut = ready.state, report.Ledger(ready.room.bad_records), 0
    batches = _batches(ready)
    with batches, contextlib.closing(_writer(ready)) as writer:
        actions = _actions(ready.room, writer, total, config.train.log_every_steps, profile)
        first = next(batches)
        use = speed.of(config, state.params)
        if ready.take is None:
            ready.take, compile_seconds = _compile(ready, first.arrays)
            writer.write_scalars(ready.start, {"train/compile_seconds": compile_seconds})
        progress = report.Progress(total, config.train.batch_size, ready.seconds, use)
        for number in range(ready.start + 1, total + 1):
            batch = first if number == ready.start + 1 else next(batches)
            state, metrics = ready.take(state, batch.arrays)
            ready.health.note(number, metrics)
            ledger.add(batch.bad)
            cut += batch.cut_captions
            for action in actions:
                action(number)
            log_is_due = _is_due(config.train.log_every_steps, number, total)
            save_is_due = _saves_are_due(config.train, number)
            if log_is_due or any(save_is_due):
                scalars, spike = ready.health.look(ready.rows)
                progress.note(scalars)
                if spike:
                    del state
                    checkpoints.wait()
                    return rollback.go_back(ready, checkpoints, snapshots, spike, progress.seconds)
            if log_is_due:
                counted = {"data/bad_records": float(len(ledger)), "data/cut_captions": float(cut)}
                writer.write_scalars(number, progress.scalars(number) | counted | ready.health.scalars())
            _save(ready, checkpoints, snapshots, state, number, progress.seconds, *save_is_due)
            with progress.paused():
                _call_hooks(hooks, state, number, total, writer)
        if cut:
            _log.warning("%d captions were longer than text.max_tokens=%d and were cut", cut, config.text.max_tokens)
        checkpoints.wait()
        writer.flush()
    _log.info("trained %d steps in %s", total, report.time_words(progress.seconds))
    return None


def _writer(ready: run.Run) -> metric_writers.MetricWriter:
    """Writers of scalars, once what was written past the run's first step is forgotten."""
    if jax.process_index() == 0:
        report.forget_after(ready.room.metrics, ready.start)
        report.forget_after(ready.room.skipped_steps, ready.start)
    rollback.write(ready)
    return report.writer(ready.room)


def _batches(ready: run.Run):
    """The batches from the run's first step on, read ahead; to be closed."""
    config, sharding = ready.config, mesh_lib.batch_sharding(ready.mesh)
    if ready.source is None:
        first = ready.position // config.train.batch_size
        return synthetic.batches(
            step.batch_shapes(config), config.train.seed, ready.tokenizer.vocab_size, sharding, start=first
        )
    return pipeline.training_batches(
        ready.source,
        ready.tokenizer,
        config.data,
        seed=config.train.seed,
        batch_size=config.train.batch_size,
        sharding=sharding,
        position=ready.position,
    )


def _saves_are_due(intervals: config_lib.Train, number: int) -> tuple[bool, bool]:
    """Whether a snapshot and a checkpoint are to be saved after the step ``number``."""
    total = intervals.num_steps
    return _is_due(intervals.snapshot_every_steps, number, total), _is_due(
        intervals.checkpoint_every_steps, number, total
    )


def _save(
    ready: run.Run,
    checkpoints: Checkpoints,
    snapshots: Snapshots | None,
    state: TrainState,
    number: int,
    seconds: float,
    snapshot_is_due: bool,
    checkpoint_is_due: bool,
) -> None:
    """Start saving what is due after the step ``number``: first the snapshot, then the checkpoint."""
    if snapshots and snapshot_is_due:
        run.snapshot(ready, snapshots, state, number)
    if checkpoint_is_due:
        if snapshots:
            # Whole before the checkpoint is: a run that goes on from there does not pass their steps again.
            snapshots.wait()
        run.save(ready, checkpoints, state, number, seconds)


def _compile(ready: run.Run, arrays: step.Batch) -> tuple[Callable, float]:
    """The step compiled for a batch's shapes, and the seconds that took."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, ready.state)
    null: Any = null_features(ready.config) if ready.config.text.features else ready.tokenizer.null()
    jitted = step.make(ready.denoiser, ready.config, ready.optimizer, null, ready.mesh, shardings)
    started = time.monotonic()
    compiled = jitted.lower(ready.state, arrays).compile()
    seconds = time.monotonic() - started
    _log.info("compiled the step in %.1f s", seconds)
    return compiled, seconds


def _actions(
    room: Workdir, writer, total: int, every_steps: int, profile: bool
) -> list[periodic_actions.PeriodicAction]:
    actions: list[periodic_actions.PeriodicAction] = [
        periodic_actions.ReportProgress(num_train_steps=total, writer=writer, every_steps=every_steps, every_secs=None)
    ]
    if profile and jax.process_index() == 0:
        actions.append(
            periodic_actions.Profile(
                logdir=str(room.path), num_profile_steps=5, profile_duration_ms=None, first_profile=10
            )
        )
    return actions


def _is_due(every_steps: int, number: int, total: int) -> bool:
    """Every so many steps (0: never) and after the last one."""
    return number == total or bool(every_steps and number % every_steps == 0)


def _call_hooks(hooks, state: TrainState, number: int, total: int, writer: metric_writers.MetricWriter) -> None:
    for hook in hooks:
        if _is_due(hook.every_steps, number, total):
            scalars, pictures = hook.call(state, number)
            if scalars:
                writer.write_scalars(number, scalars)
            if pictures:
                writer.write_images(number, pictures)


def _validation_hook(ready: run.Run, source: sources.RecordSource | None) -> Hook:
    """Validation loss of the averaged weights; nothing where no validation split is named."""
    config = ready.config
    if source is None:
        return Hook(0, lambda state, number: ({}, {}))
    shards = mesh_lib.batch_shards(ready.mesh)
    size = -(-min(len(source), config.train.validation_examples, config.train.batch_size) // shards) * shards
    batches = []
    ledger = report.Ledger(ready.room.bad_records)
    for batch in pipeline.fixed_batches(
        source,
        ready.tokenizer,
        config.data,
        batch_size=size,
        limit=config.train.validation_examples,
        sharding=mesh_lib.batch_sharding(ready.mesh),
    ):
        ledger.add(batch.bad)
        batches.append(batch.arrays)
    validate = validation.make(ready.denoiser, config, ready.mesh)

    def call(state: TrainState, number: int):
        scalars = validate(state.ema, batches)
        _log.info("step %d  validation loss %.4f", number, scalars["validation/loss"])
        return scalars, {}

    return Hook(config.train.validate_every_steps, call)
