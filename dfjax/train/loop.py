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
from dfjax.checkpoint import retry
from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import storage
from dfjax.core.errors import DfjaxError, Preempted
from dfjax.data import pipeline, sources, synthetic
from dfjax.models.denoiser import null_features
from dfjax.parallel import heartbeats
from dfjax.parallel import mesh as mesh_lib
from dfjax.parallel.preemption import Preemption
from dfjax.train import report, run, speed, step, validation
from dfjax.train.pace import Pace
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
    config: config_lib.Config,
    workdir: Path | str,
    *,
    hooks: tuple[HookMaker, ...] = (),
    profile: bool = False,
    request: Preemption | None = None,
) -> int:
    """Train until ``config.train.num_steps``, going on from the newest checkpoint in ``workdir`` if there is one.

    Args:
      hooks: made once the run is ready, called besides validation. profile: record a profile of a few steps.
      request: says when to save and to end before that.

    Returns:
      The last step.

    Raises:
      Preempted: told to end; the step it was at is saved.
      DfjaxError: a config, work directory or data set that cannot be used, in words that say what to do.
    """
    heartbeats.note("preparing", 0, slow=True)
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
        if jax.process_index() == 0:
            report.forget_after(room.metrics, ready.start)
        writer = report.writer(room)
        try:
            made = (_validation_hook(ready, parts.validation_source), *(make(ready) for make in hooks))
            _steps(ready, checkpoints, snapshots, writer, made, profile, request or Preemption())
        finally:
            writer.close()
    return total


def _steps(
    ready: run.Run,
    checkpoints: Checkpoints,
    snapshots: Snapshots | None,
    writer: metric_writers.MetricWriter,
    hooks,
    profile: bool,
    request: Preemption,
) -> None:
    """All steps from ``ready.start``, with what is due after each."""
    config, total = ready.config, ready.config.train.num_steps
    state, ledger = ready.state, ready.ledger
    batches = _batches(ready)
    saver = retry.Saver(checkpoints, config.train.save_tries)
    snapshot_saver = retry.Saver(snapshots, config.train.save_tries) if snapshots else None
    actions = _actions(ready.room, writer, total, config.train.log_every_steps, profile)
    with batches:
        heartbeats.note("reading the first records", ready.start, slow=True)
        first = next(batches)
        use = speed.of(config, state.params)
        train_step, compile_seconds = _compile(ready, first.arrays)
        writer.write_scalars(ready.start, {"train/compile_seconds": compile_seconds})
        progress = report.Progress(total, config.train.batch_size, ready.seconds, use)
        pace = Pace(config.hosts.slow_step)
        request.begin(ready.start)
        for number in range(ready.start + 1, total + 1):
            heartbeats.note("reading records", number - 1)
            batch = first if number == ready.start + 1 else next(batches)
            heartbeats.note("stepping", number - 1)
            state, metrics = train_step(state, batch.arrays)
            progress.note(metrics)
            if (slow := pace.started(number, metrics)) and config.hosts.leave_when_slow:
                request.ask(slow)
            is_last = number == total or request.reached(number)
            ledger.note(number, batch.bad, batch.cut_captions)
            for action in actions:
                action(number)
            if number % config.train.log_every_steps == 0 or is_last:
                ledger.share()
                counted = {
                    "data/bad_records": float(len(ledger)),
                    "data/cut_captions": float(ledger.cut_captions),
                    "train/slow_steps": float(pace.slow_steps),
                }
                scalars = progress.scalars(number)
                writer.write_scalars(number, scalars | counted)
                _check_finite("loss", scalars["train/loss"], number)
                if ready.source:
                    visited = min(number * config.train.batch_size, len(ready.source))
                    ledger.check(config.data.max_bad_share, visited)
            _save(ready, saver, snapshot_saver, state, metrics, number, progress.seconds, is_last)
            if is_last and number < total:
                break
            with progress.paused():
                _call_hooks(hooks, state, number, total, writer)
            pace.rest()
        if ledger.cut_captions:
            _log.warning(
                "%d captions were longer than text.max_tokens=%d and were cut",
                ledger.cut_captions,
                config.text.max_tokens,
            )
        heartbeats.note("waiting for the last save", number, slow=True)
        saver.finish(number, lambda: run.save(ready, checkpoints, state, number, progress.seconds))
        writer.flush()
    if number < total:
        raise Preempted(f"told to end: step {number} of {total} is saved, and the same command goes on from there")
    _log.info("trained %d steps in %s", total, report.time_words(progress.seconds))


def _batches(ready: run.Run):
    """The batches from the run's first step on, read ahead; to be closed."""
    config, sharding = ready.config, mesh_lib.batch_sharding(ready.mesh)
    if ready.source is None:
        return synthetic.batches(
            step.batch_shapes(config), config.train.seed, ready.tokenizer.vocab_size, sharding, start=ready.start
        )
    return pipeline.training_batches(
        ready.source,
        ready.tokenizer,
        config.data,
        seed=config.train.seed,
        batch_size=config.train.batch_size,
        sharding=sharding,
        position=ready.start * config.train.batch_size,
    )


def _save(
    ready: run.Run,
    checkpoints: retry.Saver,
    snapshots: retry.Saver | None,
    state: TrainState,
    metrics: step.Metrics,
    number: int,
    seconds: float,
    is_last: bool,
) -> None:
    """Start saving what is due after the step ``number``, or again: first the snapshot, then the checkpoint."""
    intervals, total = ready.config.train, ready.config.train.num_steps
    snapshot_is_due = snapshots is not None and (
        _is_due(intervals.snapshot_every_steps, number, total) or snapshots.is_due_again()
    )
    checkpoint_is_due = (
        is_last or _is_due(intervals.checkpoint_every_steps, number, total) or checkpoints.is_due_again()
    )
    if snapshot_is_due or checkpoint_is_due:
        heartbeats.note("saving", number, slow=True)
        # Never save what is lost already over what is not.
        for name, value in jax.device_get(metrics).items():
            _check_finite(name, float(value), number)
    if snapshots and snapshot_is_due:
        snapshots.save(lambda: run.snapshot(ready, snapshots.store, state, number))
    if checkpoint_is_due:
        # A snapshot is whole before the checkpoint is: a run that goes on from there does not pass its step again.
        if snapshots and number == total:
            snapshots.finish(number, lambda: run.snapshot(ready, snapshots.store, state, number))
        elif snapshots:
            snapshots.settle()
        checkpoints.save(lambda: run.save(ready, checkpoints.store, state, number, seconds))


def _compile(ready: run.Run, arrays: step.Batch) -> tuple[Callable, float]:
    """The step compiled for a batch's shapes, and the seconds that took."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, ready.state)
    null: Any = null_features(ready.config) if ready.config.text.features else ready.tokenizer.null()
    jitted = step.make(ready.denoiser, ready.config, ready.optimizer, null, ready.mesh, shardings)
    heartbeats.note("compiling the step", slow=True)
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
            heartbeats.note("evaluating", number, slow=True)
            try:
                scalars, pictures = hook.call(state, number)
            except OSError as error:
                if not (fault := storage.fault(error)):
                    raise
                _log.warning("what comes after step %d is left out this time: %s", number, fault)
                continue
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
    for batch in pipeline.fixed_batches(
        source,
        ready.tokenizer,
        config.data,
        batch_size=size,
        limit=config.train.validation_examples,
        sharding=mesh_lib.batch_sharding(ready.mesh),
    ):
        ready.ledger.note(0, batch.bad)
        batches.append(batch.arrays)
    validate = validation.make(ready.denoiser, config, ready.mesh)

    def call(state: TrainState, number: int):
        scalars = validate(state.ema, batches)
        _log.info("step %d  validation loss %.4f", number, scalars["validation/loss"])
        return scalars, {}

    return Hook(config.train.validate_every_steps, call)


def _check_finite(name: str, value: float, number: int) -> None:
    if not np.isfinite(value):
        raise DfjaxError(
            f"the {name} is {value} at or before step {number}: the parameters are lost, the checkpoints "
            "before it are not. Lower --config.optim.learning_rate or --config.optim.clip_norm in another --workdir"
        )
