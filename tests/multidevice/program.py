"""Run with eight devices by test_meshes.py: one step on several meshes, written down for comparison.

python program.py DATA_FOLDER OUT_FOLDER LAYOUT...
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
import unittest.mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dfjax import config as config_lib
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from dfjax.data import pipeline, sources, synthetic
from dfjax.inputs import codec, conditioning
from dfjax.inputs.spec import Inputs
from dfjax.models.denoiser import null_features
from dfjax.parallel import mesh as mesh_lib
from dfjax.parallel import torus
from dfjax.training import optim, step
from dfjax.training import state as state_lib
from tests import small
from tests.faults import planted
from tests.multidevice import layouts

NUMBER = 3  # of the step, so that neither step nor attempt is zero
ATTEMPT = 1


def run(name: str, layout: layouts.Layout, data_folder: str, out: pathlib.Path) -> None:
    config = small.config(layout.values | {"train.accumulation": layout.accumulation, "data.dir": data_folder})
    devices = jax.devices()[: layout.count]
    mesh = mesh_lib.make(layout.mesh, devices)
    network = small.denoiser(layout.values)
    mesh_lib.check_divides(mesh, network.work, config.train.batch_size, layout.accumulation)
    torus.stages = lambda mesh, axis: torus.groups(layout.torus) if layout.torus else ()
    batch = _batch(config, mesh)
    null = null_features(config) if config.text.features else small.tokenizer().null()
    # Plain descent, which also keeps the gradients it was given.
    keep = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), lambda gradients, kept, params=None: (gradients, gradients)
    )
    optimizer = optax.chain(keep, optax.sgd(0.1))
    state, shardings = _state(network, optimizer, mesh)

    draw = jax.jit(
        functools.partial(step.draw, config, shape=network.image_shape),
        in_shardings=(None, None, mesh_lib.batch_sharding(mesh)),
    )
    draws = draw(state.step, state.attempt, jnp.arange(config.train.batch_size, dtype=jnp.int32))
    after, metrics = step.make(network, config, optimizer, null, mesh, shardings)(state, batch)
    results = {"batch": batch, "draws": draws._asdict(), "metrics": metrics}
    results |= {"levels": _levels(mesh)} if not layout.network else {}
    results |= {"gradients": after.optimizer[0], "params": after.params, "ema": after.ema, "averages": after.averages}
    np.savez(out / f"{name}.npz", **{key: np.asarray(value) for key, value in trees.named_leaves(results).items()})


def _batch(config: config_lib.Config, mesh):
    if config.data.name == synthetic.NAME:
        shapes, rows = step.batch_shapes(config), mesh_lib.batch_sharding(mesh)
        with synthetic.batches(shapes, config.train.seed, small.VOCAB, rows, start=NUMBER) as batches:
            return next(batches).arrays
    source = sources.open_source(config.data, config.data.split)
    with pipeline.training_batches(
        source,
        Inputs(codec.identity(config), conditioning.Tokens(small.tokenizer()), source.columns),
        config.data,
        seed=config.train.seed,
        batch_size=config.train.batch_size,
        sharding=mesh_lib.batch_sharding(mesh),
        position=NUMBER * config.train.batch_size,
    ) as batches:
        return next(batches).arrays


def _levels(mesh) -> dict[str, jax.Array]:
    """The noise levels of a global batch by each density under each schedule, the index split over the mesh."""
    choices = [config_lib.FIELDS[f"diffusion.{key}"].metadata["choices"] for key in ("timesteps", "schedule")]
    configs = {
        f"{density} {schedule}": small.config(
            layouts.VALUES | {"diffusion.timesteps": density, "diffusion.schedule": schedule}
        )
        for density, schedule in itertools.product(*choices)
    }

    def draw(index):
        number, attempt = jnp.int32(NUMBER), jnp.int32(ATTEMPT)
        return {name: step.draw(config, number, attempt, index, (1, 1, 1)).t for name, config in configs.items()}

    rows = jnp.arange(layouts.VALUES["train.batch_size"], dtype=jnp.int32)
    return jax.jit(draw, in_shardings=mesh_lib.batch_sharding(mesh))(rows)


def _state(network, optimizer, mesh):
    """A state with random parameters, and its shardings."""
    params = small.params(network)
    made = state_lib.TrainState(
        step=jnp.int32(NUMBER),
        attempt=jnp.int32(ATTEMPT),
        params=params,
        ema=params,
        optimizer=optimizer.init(params),
        averages={"0.2": params},
    )
    shardings = state_lib.shardings(made, network.described, optimizer, mesh)
    # A copy each: the step is donated all, and one buffer cannot be donated twice.
    return jax.tree.map(lambda leaf, where: jax.device_put(np.array(leaf), where), made, shardings), shardings


def poison(name: str, layout: layouts.Layout, data_folder: str, out: pathlib.Path) -> None:
    """A step in which one row of 32, so one device of eight, has noise that is not finite."""
    config = small.config(layouts.VALUES | {"data.dir": data_folder})
    mesh = mesh_lib.make(layout.mesh, jax.devices()[: layout.count])
    network = small.denoiser(layouts.VALUES)
    optimizer = optim.make(config, network.described)
    state, shardings = _state(network, optimizer, mesh)
    kept = ("params", "ema", "optimizer", "averages")
    before = jax.device_get({part: getattr(state, part) for part in kept})
    functions = planted.patches([planted.Fault(NUMBER + 1, "noise", float("nan"), row=9, attempt=ATTEMPT)])
    with unittest.mock.patch.multiple(step, **functions):
        take = step.make(network, config, optimizer, small.tokenizer().null(), mesh, shardings)
        after, metrics = take(state, _batch(config, mesh))
    results = {"before": before, "after": {part: getattr(after, part) for part in kept}, "metrics": metrics}
    # As each device has it: none may go its own way.
    results |= {"skipped": [np.asarray(shard.data) for shard in after.skipped.addressable_shards]}
    np.savez(
        out / f"poisoned {name}.npz", **{key: np.asarray(value) for key, value in trees.named_leaves(results).items()}
    )


def save_sharded(out: pathlib.Path) -> None:
    """A new state on 1x8x1 with the real optimizer, to be restored elsewhere; and the share that each device holds."""
    config = small.config(layouts.VALUES)
    network = small.denoiser(layouts.VALUES)
    optimizer = optim.make(config, network.described)
    mesh = mesh_lib.make(config_lib.Mesh(data=1, fsdp=8))
    state = state_lib.create(network, optimizer, mesh, seed=0, ema_stds=(0.2,))
    shards = [
        (name, leaf.shape, leaf.addressable_shards[0].data.shape)
        for name, leaf in trees.named_leaves(dataclasses.replace(state)).items()
    ]
    (out / "shards.txt").write_text(repr(shards))
    # Averages begin as zeros, which would not tell one from another.
    arrays = {"params": state.params, "ema": state.ema, "optimizer": state.optimizer, "averages": {"0.2": state.params}}
    with Checkpoints(Workdir(out).checkpoints, keep_last=1) as checkpoints:
        checkpoints.save(1, arrays, {"config": config.to_dict()}, small.tokenizer().model)
    np.savez(out / "saved.npz", **{name: np.asarray(leaf) for name, leaf in trees.named_leaves(arrays).items()})


def main(data_folder: str, out: str, *names: str) -> None:
    assert jax.device_count() == 8
    for name in names:
        run(name, layouts.LAYOUTS[name], data_folder, pathlib.Path(out))
    for name in set(layouts.POISONED) & set(names):
        poison(name, layouts.LAYOUTS[name], data_folder, pathlib.Path(out))
    save_sharded(pathlib.Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
