"""dfjax's own training step: an MMDiT of the given sizes over latents and features, or what a recipe asks for."""

import child
import jax

from dfjax import config as config_lib
from dfjax.data import synthetic
from dfjax.models import denoiser as denoiser_lib
from dfjax.models import flops
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import build
from dfjax.training import optim, step
from dfjax.training import state as state_lib


def recipe(sizes: child.Sizes) -> config_lib.Config:
    """The sizes as a config; the layers are unrolled, which is faster on a CPU."""
    config = config_lib.default()
    config.data.name, config.data.validation_split = "synthetic", ""
    config.data.latent_channels, config.data.resolution = child.LATENT, 8 * sizes.side
    config.text.features, config.text.max_tokens = child.FEATURES, sizes.text_tokens
    config.model.name, config.model.patch, config.model.overlap = "mmdit", child.PATCH, False
    config.model.width, config.model.depth, config.model.heads = sizes.width, sizes.depth, sizes.heads
    # As many parameters as a plain MLP of four times the width.
    config.model.mlp_ratio = 8 / 3
    config.model.unroll = sizes.depth
    config.diffusion.prediction, config.diffusion.loss = "flow", "constant"
    config.train.batch_size = sizes.batch
    return config_lib.resolve(config.to_dict())


def make(sizes: child.Sizes, written: str = "") -> child.Work:
    """``written``: a config as JSON, which then counts instead of the sizes."""
    config = config_lib.from_json(written) if written else recipe(sizes)
    mesh = mesh_lib.make(config.mesh)
    denoiser = denoiser_lib.make(config, config.text.vocab_size)
    optimizer = optim.make(config, denoiser.described)
    state = state_lib.create(denoiser, optimizer, mesh, config.train.seed)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    train_step = step.make(denoiser, config, optimizer, build.null_caption(config), mesh, shardings)
    with synthetic.batches(
        step.batch_shapes(config), config.train.seed, config.text.vocab_size, mesh_lib.batch_sharding(mesh)
    ) as batches:
        batch = next(batches).arrays

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = train_step(state, batch)
        jax.block_until_ready(state)

    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return child.Work(
        run,
        flops.formula(state.params, denoiser.described, denoiser.work, config.train.batch_size),
        count,
        f"jax {jax.__version__}",
    )


if __name__ == "__main__":
    child.serve(make)
