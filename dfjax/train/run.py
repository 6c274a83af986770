"""A run from its config to ready parts: mesh, data, tokenizer, network, optimizer, state, new or restored."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from clu import parameter_overview
from jax.sharding import Mesh

from dfjax import config as config_lib
from dfjax.checkpoint.store import ARRAYS, AVERAGES, CheckpointError, Checkpoints, Store, versions
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import storage, trees
from dfjax.data import pipeline, sources, synthetic
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.models import denoiser as denoiser_lib
from dfjax.objective import process
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.runtime import hosts
from dfjax.train import optim
from dfjax.train import state as state_lib
from dfjax.train.health import Health, Rows
from dfjax.train.ledger import Ledger

_log = logging.getLogger(__name__)

_CAPTIONS_FOR_TOKENIZER = 100_000


@dataclasses.dataclass
class Run:
    """The parts of a run, ``source`` None for synthetic data.

    ``state`` is handed to the step, which is donated it, and must not be used after. It is that of the step ``start``,
    where ``position`` records were consumed; ``owes_hooks``: what is due after that step is still to be done. ``take``
    is the compiled step, once there is one.
    """

    config: config_lib.Config
    room: Workdir
    mesh: Mesh
    source: sources.RecordSource | None
    tokenizer: tokenizer_lib.Tokenizer
    denoiser: denoiser_lib.Denoiser
    optimizer: optax.GradientTransformation
    state: state_lib.TrainState
    start: int
    position: int
    seconds: float
    health: Health
    ledger: Ledger
    owes_hooks: bool = False
    take: Callable | None = None

    def position_after(self, number: int) -> int:
        """The number of records consumed, or passed over, when the step ``number`` is done."""
        return self.position + (number - self.start) * self.config.train.batch_size

    def rows(self, number: int) -> Rows:
        """The records of the step ``number``, on all hosts."""
        first, size, seed = self.position_after(number - 1), self.config.train.batch_size, self.config.train.seed
        if (source := self.source) is None:
            return Rows(first, size, ())
        places = (pipeline.position_to_index(len(source), seed, p) for p in range(first, first + size))
        return Rows(first, size, [source.id(place) for place in places])


def check_workdir(room: Workdir) -> Found:
    """What the work directory holds. Raises CheckpointError for what no run may be started in."""
    found, words = room.check()
    _log.info("%s", words)
    return found


def check_saved(room: Workdir, config: config_lib.Config) -> int:
    """The newest checkpoint's step. Raises CheckpointError if a resume may not go from its config to this one."""
    with Checkpoints(room.checkpoints) as checkpoints:
        step = checkpoints.steps()[-1]
        saved = checkpoints.config(step)
        changed = config_lib.changes_that_break_resume(saved, config)
        for item in (*ARRAYS, AVERAGES) if saved.optim.ema_stds else ARRAYS:
            checkpoints.array_shapes(step, item)
    if changed:
        raise CheckpointError(
            f"{room.path} was trained with another config:\n  " + "\n  ".join(changed) + "\n(saved -> wanted). "
            "Go on with the saved values, or choose another --workdir for the new ones"
        )
    return step


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a config alone decides, and what can be wrong with it."""

    mesh: Mesh
    source: sources.RecordSource | None
    validation_source: sources.RecordSource | None


def parts(config: config_lib.Config) -> Parts:
    """Mesh and data sets. Raises ConfigError or DataError for what cannot work; writes nothing."""
    process.check(config)
    if config.sample.guide:
        guide = Workdir(Path(config.sample.guide))
        newest = guide.require_checkpoint()
        with Checkpoints(guide.checkpoints) as checkpoints:
            process.check_guide(config, checkpoints.config(newest))
    mesh = mesh_lib.make(config.mesh)
    work = denoiser_lib.work(config)
    mesh_lib.check_divides(mesh, work, config.train.batch_size, config.train.accumulation)
    layout.make(config.model, work, mesh)
    optim.learning_rate(config)
    data = config.data
    if data.name == synthetic.NAME:
        return Parts(mesh, None, None)
    validation = sources.open_source(data, data.validation_split) if data.validation_split else None
    return Parts(mesh, sources.open_source(data, data.split), validation)


def prepare(config: config_lib.Config, room: Workdir, ready: Parts, checkpoints: Checkpoints) -> Run:
    """Everything up to the first step: restored where there is a checkpoint, new where there is none."""
    mesh, source = ready.mesh, ready.source
    step = checkpoints.steps()[-1] if checkpoints.steps() else None
    if step is not None:
        _check_data(room, checkpoints.meta(step).get("data"), source)
    tokenizer = _tokenizer(config, source, checkpoints, step)
    work = denoiser_lib.work(config)
    denoiser = denoiser_lib.make(config, tokenizer.vocab_size, layout.make(config.model, work, mesh))
    optimizer = optim.make(config, denoiser.described)
    _write_files(config, room, tokenizer)
    loaded = _load(config, room, mesh, denoiser, optimizer, checkpoints, step or 0)
    _overview(room, loaded["state"].params)
    return Run(config, room, mesh, source, tokenizer, denoiser, optimizer, **loaded)


def _check_data(room: Workdir, saved: dict[str, str] | None, source: sources.RecordSource | None) -> None:
    """Raise CheckpointError where the records are not those that the run began with: their order would be another."""
    found = source.identity() if source else {}
    other = [f"{key}: {saved.get(key)} -> {value}" for key, value in found.items() if saved and saved.get(key) != value]
    if other:
        raise CheckpointError(
            f"{room.path} was trained on other data:\n  "
            + "\n  ".join(other)
            + "\n(saved -> found). Its records would "
            "come in another order: put the data set back as it was, or name its folder with --config.data.dir; or "
            "choose another --workdir for the new one"
        )


def at(run: Run, checkpoints: Store, step: int) -> Run:
    """The run as it stood at ``step``: as it was saved, or new for step 0."""
    loaded = _load(run.config, run.room, run.mesh, run.denoiser, run.optimizer, checkpoints, step)
    return dataclasses.replace(run, **loaded)


def save(run: Run, checkpoints: Store, state: state_lib.TrainState, step: int, seconds: float) -> None:
    """Start saving the state of ``step``: arrays, config, position, tokenizer, versions in one commit."""
    run.ledger.share()
    meta = {
        "config": run.config.to_dict(),
        "attempt": int(state.attempt),
        "position": run.position_after(step),
        "health": run.health.saved(),
        "owes_hooks": run.owes_hooks,
        "data": run.source.identity() if run.source else {},
        "train_seconds": seconds,
        "devices": jax.device_count(),
    }
    checkpoints.save(step, _items(state), meta, run.tokenizer.model)


def snapshot(run: Run, snapshots: Store, state: state_lib.TrainState, step: int) -> None:
    """Start saving the power-function averages of ``step``, with all that is needed to draw with them."""
    snapshots.save(step, {AVERAGES: state.averages}, {"config": run.config.to_dict()}, run.tokenizer.model)


def _items(state: state_lib.TrainState) -> dict[str, Any]:
    """The arrays of a checkpoint. Averages are an item only where there are any."""
    items = {"params": state.params, "ema": state.ema, "optimizer": state.optimizer}
    return items | ({AVERAGES: state.averages} if state.averages else {})


def _load(
    config: config_lib.Config, room: Workdir, mesh: Mesh, denoiser, optimizer, checkpoints: Store, step: int
) -> dict[str, Any]:
    """What of a run differs from step to step."""
    stds, meta = config.optim.ema_stds, checkpoints.meta(step) if step else {}
    saved = meta.get("health", {})
    if step:
        state = _restore(checkpoints, step, meta, state_lib.abstract(denoiser, optimizer, mesh, stds))
    else:
        state = state_lib.create(denoiser, optimizer, mesh, config.train.seed, stds)
    return {
        "state": state,
        "start": step,
        "position": int(meta.get("position", 0)),
        "seconds": float(meta.get("train_seconds", 0)),
        "health": Health(config.train, room.skipped_steps, list(trees.named_leaves(state.params)), saved),
        "ledger": Ledger(room.bad_records, step),
        "owes_hooks": bool(meta.get("owes_hooks", False)),
    }


def _restore(checkpoints: Store, step: int, meta: dict[str, Any], wanted: state_lib.TrainState):
    arrays = checkpoints.arrays(step, _items(wanted))
    other = {name: (old, new) for name, new in versions().items() if (old := meta["versions"].get(name)) != new}
    if other:
        _log.warning("saved under other versions, so the resumed run may differ in its last bits: %s", other)
    health = meta.get("health", {})
    counts: dict[str, int] = {"step": step, "attempt": meta["attempt"]}
    counts |= {name: health.get(name, 0) for name in ("skipped", "skipped_in_a_row")}

    def scalar(name: str) -> jax.Array:
        like = getattr(wanted, name)
        return jax.device_put(np.asarray(counts[name], like.dtype), like.sharding)

    return state_lib.TrainState(**{name: scalar(name) for name in state_lib.COUNTS} | arrays)


def _tokenizer(config, source, checkpoints: Checkpoints, step: int | None) -> tokenizer_lib.Tokenizer:
    """The checkpoint's tokenizer, or one that the first process learns from the captions."""
    if step is not None:
        return tokenizer_lib.Tokenizer(checkpoints.tokenizer(step), config.text.max_tokens)
    model = b""
    if jax.process_index() == 0:
        captions = pipeline.example_captions(source, _CAPTIONS_FOR_TOKENIZER) if source else synthetic.CAPTIONS
        model = tokenizer_lib.learn(captions, config.text.vocab_size, config.text.max_tokens).model
    return tokenizer_lib.Tokenizer(hosts.from_first(model), config.text.max_tokens)


def _write_files(config: config_lib.Config, room: Workdir, tokenizer: tokenizer_lib.Tokenizer) -> None:
    """Config and tokenizer beside the checkpoints, for people and other programs; the ones inside are what counts."""
    if jax.process_index() == 0:
        storage.replace(room.tokenizer, tokenizer.model)
        storage.replace(room.config, config.to_json().encode())


def _overview(room: Workdir, params: Any) -> None:
    _log.info("%s parameters in %d arrays", f"{trees.size(params):,}", len(jax.tree.leaves(params)))
    if jax.process_index() == 0:
        table = parameter_overview.get_parameter_overview(params, include_stats=False)
        storage.replace(room.path / "parameters.txt", f"{table}\n".encode())
