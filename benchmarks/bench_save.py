"""What saving every 20 steps costs the demo's training.

    python benchmarks/bench_save.py [--config=configs/emoji.py] [--rounds=6] [--every=20]

Trains on synthetic pictures, in turn a round of steps that ends with a save and one that does not, so that a
neighbour's load meets both, and prints medians: how long the loop stands still in the save, as a share of a round
without one; how much longer a round takes in which the save before it is written; and the CPU seconds of both. The
first pair does not count. Then: what checksums cost, beside restoring.
"""

import logging
import pathlib
import tempfile
import time

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from dfjax import config as config_lib
from dfjax.checkpoint import checksums, retry
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.data import synthetic
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import loop, run, step

_CONFIG = config_flags.DEFINE_config_file("config", "configs/emoji.py")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "pairs of rounds", lower_bound=1)
_EVERY = flags.DEFINE_integer("every", 20, "steps of a round", lower_bound=1)


def _config() -> config_lib.Config:
    values = _CONFIG.value.to_dict()
    values["data"] |= {"name": synthetic.NAME, "validation_split": ""}
    return config_lib.resolve(values)


def _seconds(call) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main(_: list[str]) -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)
    config = _config()
    with tempfile.TemporaryDirectory() as folder:
        room = Workdir(pathlib.Path(folder))
        with Checkpoints(room.checkpoints, keep_last=2) as checkpoints:
            _train(config, room, checkpoints)
        newest = room.checkpoints / f"step_{room.steps()[-1]}"
        size = sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
        verify, _ = _seconds(lambda: checksums.faults(newest))
        print(f"checkpoint        {size / 1e6:8.1f} MB")
        print(f"verify            {verify * 1e3:8.1f} ms, {size / verify / 1e9:.2f} GB/s")
        with Checkpoints(room.checkpoints) as checkpoints:
            number = checkpoints.steps()[-1]
            wanted = {item: _here(checkpoints.array_shapes(number, item)) for item in ("params", "ema", "optimizer")}
            whole, _ = _seconds(lambda: jax.block_until_ready(checkpoints.arrays(number, wanted)))
        print(f"verify + restore  {whole * 1e3:8.1f} ms")


def _here(tree):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), tree)


def _train(config: config_lib.Config, room: Workdir, checkpoints: Checkpoints) -> None:
    ready = run.prepare(config, room, run.parts(config), checkpoints)
    saver = retry.Saver(checkpoints, tries=1)
    sharding = mesh_lib.batch_sharding(ready.mesh)
    shapes = step.batch_shapes(config)
    batches = synthetic.batches(shapes, config.train.seed, ready.tokenizer.vocab_size, sharding, start=0)
    batch = next(batches).arrays
    train_step, _ = loop._compile(ready, batch)
    state, number = ready.state, 0

    def steps() -> None:
        nonlocal state, number
        for _ in range(_EVERY.value):
            state, metrics = train_step(state, batch)
            number += 1
            # As the loop does, which never runs ahead of the device for long.
            jax.block_until_ready(metrics)

    def save() -> None:
        jax.block_until_ready(state)
        saver.save(lambda: run.save(ready, checkpoints, state, number, 0.0))

    rows = []
    for _ in range(_ROUNDS.value + 1):
        saver.settle()
        alone = _seconds(steps)
        blocked = _seconds(save)
        beside = _seconds(steps)
        rest = _seconds(saver.settle)
        rows.append((*alone, *blocked, *beside, *rest))
    plain, plain_cpu, block, block_cpu, after, after_cpu, rest, rest_cpu = np.array(rows[1:]).T
    saving_cpu = block_cpu + after_cpu + rest_cpu
    print(f"round             {np.median(plain) * 1e3:8.1f} ms for {_EVERY.value} steps without a save")
    print(f"save blocks       {np.median(block) * 1e3:8.1f} ms, {np.median(block / plain):.1%} of a round")
    print(f"round while saved {np.median(after) * 1e3:8.1f} ms, {np.median(after / plain):.3f} of one without")
    print(f"written after     {np.median(rest) * 1e3:8.1f} ms more")
    print(f"CPU seconds       {np.sum(plain_cpu):8.1f} without, {np.sum(saving_cpu):.1f} with saving,")
    print(f"                  {np.median(saving_cpu / plain_cpu):8.3f} times as much")


if __name__ == "__main__":
    app.run(main)
