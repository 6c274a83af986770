"""Run by test_optimizers.py: updates by each optimizer on one device and on eight, and its state saved.

python optimizers_program.py OUT_FOLDER OPTIMIZER...
"""

import dataclasses
import pathlib
import sys

import jax
import numpy as np
import optax

from dfjax import config as config_lib
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import trees
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import optim
from dfjax.training import state as state_lib
from tests import small

# Wide enough for Adafactor to factor.
VALUES = {"model.width": 128, "model.mlp_ratio": 2.0, "text.depth": 0, "optim.weight_decay": 0.1}
MESHES = {
    "one": config_lib.Mesh(data=1),
    "eight": config_lib.Mesh(data=1, fsdp=4, tensor=2),
}
UPDATES = 2


def run(name: str, mesh_name: str, out: pathlib.Path) -> None:
    """Write down the parameters after some updates with given gradients, and how the state is split."""
    config = small.config(VALUES | {"optim.name": name})
    network = small.denoiser(VALUES)
    optimizer = optim.make(config, network.described)
    mesh = mesh_lib.make(MESHES[mesh_name], jax.devices()[:1] if mesh_name == "one" else jax.devices())
    state = state_lib.create(network, optimizer, mesh, seed=0)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)

    def update(state, gradients):
        updates, moments = optimizer.update(gradients, state.optimizer, state.params)
        return dataclasses.replace(state, params=optax.apply_updates(state.params, updates), optimizer=moments)

    step = jax.jit(update, in_shardings=(shardings, shardings.params), out_shardings=shardings)
    for seed in range(UPDATES):
        gradients = jax.tree.map(jax.device_put, small.params(network, seed), shardings.params)
        state = step(state, gradients)
    written = {"params": state.params, "optimizer": state.optimizer}
    arrays = {key: np.asarray(value) for key, value in trees.named_leaves(written).items()}
    np.savez(out / f"{name} {mesh_name}.npz", **arrays)
    parts = [
        (key, leaf.shape, leaf.addressable_shards[0].data.shape)
        for key, leaf in trees.named_leaves(state.optimizer).items()
    ]
    (out / f"{name} {mesh_name}.txt").write_text(repr(parts))
    if mesh_name == "eight":
        items = {"params": state.params, "ema": state.ema, "optimizer": state.optimizer}
        with Checkpoints(Workdir(out / name).checkpoints, keep_last=1) as checkpoints:
            checkpoints.save(1, items, {"config": config.to_dict()}, small.tokenizer().model)


def main(out: str, *names: str) -> None:
    assert jax.device_count() == 8
    for name in names:
        for mesh_name in MESHES:
            run(name, mesh_name, pathlib.Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
