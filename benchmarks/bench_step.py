"""How fast the demo's training step is, as a share of this machine's own matrix products.

    python benchmarks/bench_step.py [--config=configs/emoji.py] [--config.model.width=256 ...]

Times the jitted step on synthetic pictures and a float32 matrix product in turn, so that a neighbour's load meets both,
and prints the median of the pairwise ratios. Model operations are counted by the formula of ``dfjax/models/flops.py``.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from dfjax import config as config_lib
from dfjax.data import synthetic
from dfjax.models import flops
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import build
from dfjax.train import state as state_lib
from dfjax.train import step

_CONFIG = config_flags.DEFINE_config_file("config", "configs/emoji.py")
_ROUNDS = flags.DEFINE_integer("rounds", 10, "pairs of timings")
_SIZE, _REPEATS = 1024, 5


def make_step(config: config_lib.Config, compiled: jax.stages.Compiled | None = None):
    """A function that runs one training step, and the operations in it.

    Args:
      compiled: the step, where it was compiled for this machine already.
    """
    parts = build.parts(config, jax.devices())
    state = state_lib.create(parts.denoiser, parts.optimizer, parts.mesh, config.train.seed)
    split = mesh_lib.batch_sharding(parts.mesh)
    with synthetic.batches(step.batch_shapes(config), config.train.seed, config.text.vocab_size, split) as batches:
        batch = next(batches).arrays
    count = flops.formula(config, state.params)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    null = build.null_caption(config)
    run_step = compiled or step.make(parts.denoiser, config, parts.optimizer, null, parts.mesh, shardings)

    def run():
        nonlocal state
        state, metrics = run_step(state, batch)
        return metrics["loss"]

    return run, count


def seconds(function) -> float:
    """Of one call, over a few."""
    started = time.perf_counter()
    for _ in range(_REPEATS):
        result = function()
    jax.block_until_ready(result)
    return (time.perf_counter() - started) / _REPEATS


def main(_: list[str]) -> None:
    config = config_lib.resolve(_CONFIG.value.to_dict())
    run, count = make_step(config)
    square = jnp.ones((_SIZE, _SIZE), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready((run(), product(square, square)))
    pairs = [(seconds(run), seconds(lambda: product(square, square))) for _ in range(_ROUNDS.value)]
    rates = np.array([(count / a, 2 * _SIZE**3 / b) for a, b in pairs])
    share = np.median(rates[:, 0] / rates[:, 1])
    print(f"step            {np.median([a for a, _ in pairs]) * 1e3:8.1f} ms  {count / 1e9:.1f} Gflop")
    print(f"images/s        {config.train.batch_size / np.median([a for a, _ in pairs]):8.1f}")
    print(f"step            {np.median(rates[:, 0]) / 1e9:8.1f} Gflop/s")
    print(f"matrix product  {np.median(rates[:, 1]) / 1e9:8.1f} Gflop/s, float32 {_SIZE} x {_SIZE}")
    print(f"share           {share:8.2f}")


if __name__ == "__main__":
    app.run(main)
