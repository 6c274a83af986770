"""The training loop."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from dfjax import assembly
from dfjax import config as config_lib
from dfjax.checkpoint import retry
from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import jsonl
from dfjax.core.errors import Preempted
from dfjax.data import pipeline, synthetic
from dfjax.parallel import mesh as mesh_lib
from dfjax.runtime import heartbeats
from dfjax.runtime.preemption import Preemption
from dfjax.training import hooks as hooks_lib
from dfjax.training import profile as profile_lib
from dfjax.training import report, rollback, run, speed, step
from dfjax.training.hooks import Hook, HookMaker
from dfjax.training.pace import Pace
from dfjax.training.saving import Savers

_log = logging.getLogger(__name__)


def train(
    config: config_lib.Config,
    workdir: Path | str,
    *,
    hooks: Sequence[HookMaker] = (),
    own: assembly.Own = assembly.Own(),  # noqa: B008
    profile: bool = False,
    request: Preemption | None = None,
) -> int:
    """Train until ``config.train.num_steps``, going on from the newest checkpoint in ``workdir`` if there is one.

    Args:
      hooks: made once the run is ready, called besides validation.
      own: source, denoiser, objective or optimizer in place of those that the config names.
      profile: record a profile of a few steps.
      request: says when to save and to end before that.

    Returns:
      The last step.

    Raises:
      Preempted: told to end; the step it was at is saved.
      DfjaxError: a config, work directory or data set that cannot be used, in words that say what to do.
    """
    heartbeats.note("preparing", 0, slow=True)
    place = Workdir(Path(workdir))
    found = run.check_workdir(place)
    total = config.train.num_steps
    if found is Found.RESUMABLE and run.check_saved(place, config) >= total:
        _log.info("%s is finished: it has all its %d steps", place.path, total)
        return total
    # All that a user may have to mend is looked at before anything is written.
    parts = assembly.parts(config, own)
    with contextlib.ExitStack() as stack:
        limit = config.hosts.phase_seconds
        checkpoints = Checkpoints(
            place.checkpoints, config.train.keep_last, config.train.keep_every_steps, limit_seconds=limit
        )
        stack.enter_context(checkpoints)
        ready = run.prepare(parts, place, checkpoints)
        snapshots = None
        if config.optim.ema_stds:
            snapshots = stack.enter_context(Snapshots(place.snapshots, write=True, limit_seconds=limit))
            snapshots.forget_after(ready.start)
        savers = Savers(
            retry.Saver(checkpoints, config.train.save_tries),
            retry.Saver(snapshots, config.train.save_tries) if snapshots else None,
        )
        made = (hooks_lib.validate(ready, parts.validation_source), *(make(ready) for make in hooks))
        request = request or Preemption()
        going: run.Run | None = ready
        while going:
            going = _steps(going, savers, made, profile, request)
    return total


def _steps(ready: run.Run, savers: Savers, hooks: Sequence[Hook], profile: bool, request: Preemption) -> run.Run | None:
    """All steps from ``ready.start``, with what is due after each. Where it has to go back: the run to go on with."""
    config, total = ready.config, ready.config.train.num_steps
    state, ledger = ready.state, ready.ledger
    batches = _batches(ready)
    profiled = ready.workdir.path if profile and jax.process_index() == 0 else None
    with batches, contextlib.closing(_writer(ready)) as writer, profile_lib.steps(profiled) as took:
        reports = _reports(ready, writer)
        heartbeats.note("reading the first records", ready.start, slow=True)
        first = next(batches)
        network = ready.network
        use = speed.of(config, network.denoiser.work, network.described, state.params)
        if ready.compiled_step is None:
            ready.compiled_step, compile_seconds = _compile(ready, first.arrays)
            writer.write_scalars(ready.start, {"train/compile_seconds": compile_seconds})
            request.begin(ready.start)
        progress = report.Progress(total, config.train.batch_size, ready.seconds, use)
        pace = Pace(config.hosts.slow_step)
        if ready.owes_hooks:
            with progress.paused():
                hooks_lib.call(hooks, state, ready.start, total, writer)
        for number in range(ready.start + 1, total + 1):
            heartbeats.note("reading records", number - 1)
            batch = first if number == ready.start + 1 else next(batches)
            heartbeats.note("stepping", number - 1)
            state, metrics = ready.compiled_step(state, batch.arrays)
            ready.health.note(number, metrics)
            if (slow := pace.started(number, metrics)) and config.hosts.leave_when_slow:
                request.ask(slow)
            is_told = number < total and request.reached(number)
            is_last = is_told or number == total
            ledger.note(number, batch.bad, batch.cut_captions)
            took()
            for reported in reports:
                reported(number)
            log_is_due = is_last or number % config.train.log_every_steps == 0
            due = savers.due(config.train, number, is_last)
            if log_is_due or any(due):
                # Before anything is saved: a checkpoint holds no step that was not looked at.
                scalars, spike = ready.health.look(ready.rows)
                progress.note(scalars)
                if spike:
                    del state
                    ledger.share()
                    heartbeats.note("going back", number, slow=True)
                    before = rollback.go_back(ready, savers, spike, progress.seconds)
                    if is_told:
                        raise Preempted(f"told to end: the same command goes on from step {before.start} of {total}")
                    request.went_back(number - before.start)
                    return before
            if log_is_due:
                _log_scalars(ready, writer, progress, pace, number)
            # Before the save, so that no checkpoint is of a step after which something is left out; but a run that is
            # told to end saves at once, and does the rest when it goes on.
            ready.owes_hooks = is_told
            if not is_told:
                with progress.paused():
                    hooks_lib.call(hooks, state, number, total, writer)
            savers.save(ready, state, number, progress.seconds, *due)
            if is_told:
                break
            pace.rest()
        if ledger.cut_captions:
            _log.warning(
                "%d captions were longer than text.max_tokens=%d and were cut",
                ledger.cut_captions,
                config.text.max_tokens,
            )
        heartbeats.note("waiting for the last save", number, slow=True)
        savers.finish(ready, state, number, progress.seconds)
        writer.flush()
    if number < total:
        raise Preempted(f"told to end: step {number} of {total} is saved, and the same command goes on from there")
    _log.info("trained %d steps in %s", total, report.time_words(progress.seconds))
    return None


def _log_scalars(ready: run.Run, writer, progress: report.Progress, pace: Pace, number: int) -> None:
    """A line in the log and a point of each curve; ends a run that meets too many bad records."""
    config, ledger = ready.config, ready.ledger
    ledger.share()
    counted = {
        "data/bad_records": float(len(ledger)),
        "data/cut_captions": float(ledger.cut_captions),
        "train/slow_steps": float(pace.slow_steps),
    }
    writer.write_scalars(number, progress.scalars(number) | counted | ready.health.scalars())
    if ready.source:
        ledger.check(config.data.max_bad_share, min(ready.position_after(number), len(ready.source)))


def _writer(ready: run.Run) -> report.Writer:
    """Writers of scalars, once what was written past the run's first step is forgotten."""
    if jax.process_index() == 0:
        jsonl.forget_after(ready.workdir.metrics, ready.start)
        jsonl.forget_after(ready.workdir.skipped_steps, ready.start)
    rollback.write(ready)
    return report.writer(ready.workdir, ready.start, with_tensorboard=ready.config.train.tensorboard)


def _batches(ready: run.Run):
    """The batches from the run's first step on, read ahead; to be closed."""
    config, sharding = ready.config, mesh_lib.batch_sharding(ready.mesh)
    if ready.source is None:
        first = ready.position // config.train.batch_size
        inputs = ready.network.inputs
        # Ids of a network that has none are never asked for.
        vocab_size = inputs.conditioner.vocab_size
        return synthetic.batches(
            inputs.batch(config.train.batch_size), config.train.seed, vocab_size, sharding, start=first
        )
    return pipeline.training_batches(
        ready.source,
        ready.network.inputs,
        config.data,
        seed=config.train.seed,
        batch_size=config.train.batch_size,
        sharding=sharding,
        position=ready.position,
    )


def _compile(ready: run.Run, arrays: step.Batch) -> tuple[Callable, float]:
    """The step compiled for a batch's shapes, and the seconds that took."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, ready.state)
    jitted = step.make(ready.network, ready.optimizer, ready.mesh, shardings)
    heartbeats.note("compiling the step", slow=True)
    started = time.monotonic()
    compiled = jitted.lower(ready.state, arrays).compile()
    seconds = time.monotonic() - started
    _log.info("compiled the step in %.1f s", seconds)
    return compiled, seconds


def _reports(ready: run.Run, writer: report.Writer) -> list[Callable[[int], Any]]:
    """What is called with each step's number: clu's report, where files for TensorBoard are wanted."""
    config = ready.config.train
    if jax.process_index() or not config.tensorboard:
        return []
    from clu import periodic_actions

    return [
        periodic_actions.ReportProgress(
            num_train_steps=config.num_steps,
            writer=writer,
            every_steps=config.log_every_steps,
            every_secs=None,
        )
    ]
