"""A run from its config to ready parts: mesh, data, tokenizer, network, optimizer, state, new or restored."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from clu import parameter_overview
from jax.sharding import Mesh

from dfjax import assembly
from dfjax import config as config_lib
from dfjax.checkpoint.store import ARRAYS, AVERAGES, CheckpointError, Checkpoints, Store, versions
from dfjax.checkpoint.workdir import Found, Workdir
from dfjax.core import storage, trees
from dfjax.data import pipeline, synthetic
from dfjax.data.source import Source
from dfjax.inputs.network import Network
from dfjax.runtime import hosts
from dfjax.training import state as state_lib
from dfjax.training.health import Health, Rows
from dfjax.training.ledger import Ledger

_log = logging.getLogger(__name__)

_CAPTIONS_TO_LEARN_FROM = 100_000


@dataclasses.dataclass
class Run:
    """The parts of a run, ``source`` None for synthetic data.

    ``state`` is handed to the step, which is donated it, and must not be used after. It is that of the step ``start``,
    where ``position`` records were consumed; ``owes_hooks``: what is due after that step is still to be done.
    ``compiled_step`` is there once it is compiled.
    """

    config: config_lib.Config
    workdir: Workdir
    mesh: Mesh
    source: Source | None
    network: Network
    optimizer: optax.GradientTransformation
    state: state_lib.TrainState
    start: int
    position: int
    seconds: float
    health: Health
    ledger: Ledger
    owes_hooks: bool = False
    compiled_step: Callable | None = None

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


def check_workdir(workdir: Workdir) -> Found:
    """What the work directory holds. Raises CheckpointError for what no run may be started in."""
    found, words = workdir.check()
    _log.info("%s", words)
    return found


def check_saved(workdir: Workdir, config: config_lib.Config) -> int:
    """The newest checkpoint's step. Raises CheckpointError if a resume may not go from its config to this one."""
    with Checkpoints(workdir.checkpoints) as checkpoints:
        step = checkpoints.steps()[-1]
        saved = checkpoints.config(step)
        changed = config_lib.changes_that_break_resume(saved, config)
        for item in (*ARRAYS, AVERAGES) if saved.optim.ema_stds else ARRAYS:
            checkpoints.array_shapes(step, item)
    if changed:
        raise CheckpointError(
            f"{workdir.path} was trained with another config:\n  " + "\n  ".join(changed) + "\n(saved -> wanted). "
            "Go on with the saved values, or choose another --workdir for the new ones"
        )
    return step


def prepare(ready: assembly.Parts, workdir: Workdir, checkpoints: Checkpoints) -> Run:
    """Everything up to the first step: restored where there is a checkpoint, new where there is none."""
    config, mesh, source = ready.config, ready.mesh, ready.source
    step = checkpoints.steps()[-1] if checkpoints.steps() else None
    if step is not None:
        _check_data(workdir, checkpoints.meta(step).get("data"), source)
    network = ready.network(_conditioner(ready, checkpoints, step))
    optimizer = assembly.optimizer(ready, network)
    _write_files(config, workdir, network)
    loaded = _load(config, workdir, mesh, network, optimizer, checkpoints, step or 0)
    _overview(workdir, loaded["state"].params)
    return Run(config, workdir, mesh, source, network, optimizer, **loaded)


def _check_data(workdir: Workdir, saved: dict[str, str] | None, source: Source | None) -> None:
    """Raise CheckpointError where the records are not those that the run began with: their order would be another."""
    found = source.identity() if source else {}
    other = [f"{key}: {saved.get(key)} -> {value}" for key, value in found.items() if saved and saved.get(key) != value]
    if other:
        raise CheckpointError(
            f"{workdir.path} was trained on other data:\n  "
            + "\n  ".join(other)
            + "\n(saved -> found). Its records would "
            "come in another order: put the data set back as it was, or name its folder with --config.data.dir; or "
            "choose another --workdir for the new one"
        )


def at(run: Run, checkpoints: Store, step: int) -> Run:
    """The run as it stood at ``step``: as it was saved, or new for step 0."""
    loaded = _load(run.config, run.workdir, run.mesh, run.network, run.optimizer, checkpoints, step)
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
    checkpoints.save(step, _items(state), meta, run.network.inputs.conditioner.saved)


def snapshot(run: Run, snapshots: Store, state: state_lib.TrainState, step: int) -> None:
    """Start saving the power-function averages of ``step``, with all that is needed to draw with them."""
    snapshots.save(
        step, {AVERAGES: state.averages}, {"config": run.config.to_dict()}, run.network.inputs.conditioner.saved
    )


def _items(state: state_lib.TrainState) -> dict[str, Any]:
    """The arrays of a checkpoint. Averages are an item only where there are any."""
    items = {"params": state.params, "ema": state.ema, "optimizer": state.optimizer}
    return items | ({AVERAGES: state.averages} if state.averages else {})


def _load(
    config: config_lib.Config, workdir: Workdir, mesh: Mesh, network, optimizer, checkpoints: Store, step: int
) -> dict[str, Any]:
    """What of a run differs from step to step."""
    stds, meta = config.optim.ema_stds, checkpoints.meta(step) if step else {}
    saved = meta.get("health", {})
    if step:
        state = _restore(checkpoints, step, meta, state_lib.abstract(network, optimizer, mesh, stds), network)
    else:
        state = state_lib.create(network, optimizer, mesh, config.train.seed, stds)
    return {
        "state": state,
        "start": step,
        "position": int(meta.get("position", 0)),
        "seconds": float(meta.get("train_seconds", 0)),
        "health": Health(config.train, workdir.skipped_steps, list(trees.named_leaves(state.params)), saved),
        "ledger": Ledger(workdir.bad_records, step),
        "owes_hooks": bool(meta.get("owes_hooks", False)),
    }


def _restore(checkpoints: Store, step: int, meta: dict[str, Any], wanted: state_lib.TrainState, network: Network):
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

    state = state_lib.TrainState(**{name: scalar(name) for name in state_lib.COUNTS} | arrays)
    where = jax.tree.map(lambda leaf: leaf.sharding, wanted)
    return state_lib.with_frozen(state, network, where)


def _conditioner(ready: assembly.Parts, checkpoints: Checkpoints, step: int | None) -> bytes:
    """The conditioner's state: the checkpoint's, or what the first process learns from the captions."""
    if step is not None:
        return checkpoints.tokenizer(step)
    saved = b""
    if jax.process_index() == 0:
        source = ready.source
        captions = pipeline.example_captions(source, _CAPTIONS_TO_LEARN_FROM) if source else synthetic.CAPTIONS
        saved = ready.network(captions=captions).inputs.conditioner.saved
    return hosts.from_first(saved)


def _write_files(config: config_lib.Config, workdir: Workdir, network: Network) -> None:
    """Config and conditioner beside the checkpoints, for people and other programs; the ones inside are what counts."""
    if jax.process_index() == 0:
        storage.replace(workdir.tokenizer, network.inputs.conditioner.saved)
        storage.replace(workdir.config, config.to_json().encode())


def _overview(workdir: Workdir, params: Any) -> None:
    _log.info("%s parameters in %d arrays", f"{trees.size(params):,}", len(jax.tree.leaves(params)))
    if jax.process_index() == 0:
        table = parameter_overview.get_parameter_overview(params, include_stats=False)
        storage.replace(workdir.path / "parameters.txt", f"{table}\n".encode())
