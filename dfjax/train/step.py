"""The training step: one jitted, donated, sharded function of (state, batch)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from dfjax import config as config_lib
from dfjax.core import images, rng
from dfjax.diffusion import averaging, timesteps, weighting
from dfjax.diffusion import loss as loss_lib
from dfjax.models.denoiser import Caption, Denoiser, image_shape
from dfjax.models.inputs import Features
from dfjax.objective import process as process_lib
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.train.state import TrainState

Batch = dict[str, Array]
# Scalars by name, and what the guard found; see :func:`make`.
Metrics = dict[str, Array]


def batch_shapes(config: config_lib.Config) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a global batch: pictures or latents, and token ids or a frozen encoder's features."""
    rows, text, shape = config.train.batch_size, config.text, image_shape(config)
    arrays: dict[str, tuple[tuple[int, ...], Any]]
    arrays = (
        {"latent": ((rows, *shape), jnp.bfloat16)}
        if config.data.latent_channels
        else {"image": ((rows, *shape), jnp.uint8)}
    )
    if text.features:
        arrays["features"] = (rows, text.max_tokens, text.features), jnp.bfloat16
        arrays["feature_mask"] = (rows, text.max_tokens), jnp.bool
    else:
        arrays["tokens"] = (rows, text.max_tokens), jnp.int32
    return {name: jax.ShapeDtypeStruct(*array) for name, array in arrays.items()}


def clean_of(batch: Batch) -> Float[Array, "batch height width channels"]:
    """What a batch's rows are to become again: pictures in [-1, 1], or latents as they are; float32."""
    return images.to_unit(batch["image"]) if "image" in batch else batch["latent"].astype(jnp.float32)


def caption_of(batch: Batch) -> Caption:
    """The captions of a batch's rows, as the network takes them."""
    return batch["tokens"] if "tokens" in batch else Features(batch["features"], batch["feature_mask"])


def _choose(dropped: Bool[Array, "batch"], null: Array, own: Array) -> Array:
    return jnp.where(dropped.reshape(-1, *[1] * (own.ndim - 1)), jnp.asarray(null, own.dtype), own)


class Draws(NamedTuple):
    """All that is random in a step, for some rows of the global batch."""

    t: Float[Array, "batch"]
    eps: Float[Array, "batch height width channels"]
    dropped: Bool[Array, "batch"]


def draw(
    config: config_lib.Config,
    step: Int[Array, ""],
    attempt: Int[Array, ""],
    index: Int[Array, "batch"],
    shape: tuple[int, ...],
) -> Draws:
    """Noise levels, noise and caption dropout of the global batch's rows ``index`` at one step.

    A function of (seed, step, attempt, index) alone, so neither mesh nor accumulation changes a bit of it.
    """
    seed, diffusion = config.train.seed, config.diffusion
    u = timesteps.stratified(rng.stream(seed, "timestep", step, attempt), index, config.train.batch_size)
    t = process_lib.make(diffusion).timesteps(u)
    eps = loss_lib.gaussian(rng.per_example(rng.stream(seed, "noise", step, attempt), index), shape)
    coin = jax.vmap(jax.random.uniform)(rng.per_example(rng.stream(seed, "caption_dropout", step, attempt), index))
    return Draws(t, eps, coin < diffusion.caption_dropout)


def loss_and_gradients(
    denoiser: Denoiser,
    config: config_lib.Config,
    null: Caption,
    state: TrainState,
    batch: Batch,
    index: Int[Array, "batch"],
) -> tuple[Float[Array, ""], Any]:
    """Mean loss of rows of the global batch and its gradients, summed over micro-batches in float32.

    With a learned variance the gradients are those of ``weighting.learned``; the loss is still the plain one.

    Args:
      null: the null caption, without a batch axis. batch: see :func:`batch_shapes`. index: the rows' places in the
        global batch.
    """
    parts = config.train.accumulation
    process = process_lib.make(config.diffusion)

    def objective(params, part: Batch, index: Int[Array, "batch"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        t, eps, dropped = draw(config, state.step, state.attempt, index, denoiser.image_shape)
        caption = jax.tree.map(functools.partial(_choose, dropped), null, caption_of(part))
        losses = loss_lib.per_example(
            lambda z, t: process.output(denoiser, params, z, t, caption),
            clean_of(part),
            eps,
            t,
            schedule=process.schedule,
            kind=process.kind,
            weighting=process.weighting,
        )
        if not config.diffusion.learned_variance:
            return jnp.mean(losses), jnp.mean(losses)
        return jnp.mean(weighting.learned(losses, denoiser.log_variance(params, t))), jnp.mean(losses)

    def evaluate(part: Batch, index: Int[Array, "batch"]) -> tuple[Float[Array, ""], Any]:
        (_, loss), gradients = jax.value_and_grad(objective, has_aux=True)(state.params, part, index)
        return loss, gradients

    if parts == 1:
        return evaluate(batch, index)

    # Every parts-th row makes a micro-batch: each device then finds its share among its own rows.
    micro = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0), (batch, index)
    )

    def add(sums, part):
        return jax.tree.map(jnp.add, sums, evaluate(*part)), None

    zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params))
    sums, _ = jax.lax.scan(add, zeros, micro)
    return jax.tree.map(lambda x: x / parts, sums)


def _over(mesh: Mesh, denoiser: Denoiser, config: config_lib.Config, null: Caption, specs: Any) -> Callable:
    """(state, batch) -> loss and gradients of the global batch, each device at work on its own rows."""
    rows = config.train.batch_size
    if mesh.size == 1:
        on_one = denoiser.on(layout.make(config.model, denoiser.work, mesh))
        return lambda state, batch: loss_and_gradients(
            on_one, config, null, state, batch, jnp.arange(rows, dtype=jnp.int32)
        )
    own = denoiser.on(layout.manual(config.model, denoiser.work, mesh))
    axes, shards = layout.manual_axes(mesh), mesh_lib.batch_shards(mesh)

    def on_device(params, number, attempt, batch: Batch):
        place = jax.lax.axis_index(mesh_lib.BATCH_AXES)
        index = place * (rows // shards) + jnp.arange(rows // shards, dtype=jnp.int32)
        state = TrainState(step=number, attempt=attempt, params=params, ema=None, optimizer=None)
        loss, gradients = loss_and_gradients(own, config, null, state, batch, index)
        # Each is a mean over as many rows, and those along `context` have the loss of the same ones.
        gradients = jax.tree.map(lambda x: x / (shards * mesh.shape["context"]), gradients)
        return jax.lax.pmean(loss, mesh_lib.BATCH_AXES), layout.summed(gradients, own.described, mesh)

    def parts_of(spec: PartitionSpec) -> PartitionSpec:
        return PartitionSpec(*(axis if axis in axes else None for axis in spec))

    params = jax.tree.map(parts_of, specs)
    run = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(params, PartitionSpec(), PartitionSpec(), mesh_lib.BATCH),
        out_specs=(PartitionSpec(), params),
        axis_names=frozenset(axes),
        check_vma=False,
    )
    return lambda state, batch: run(state.params, state.step, state.attempt, batch)


def make(
    denoiser: Denoiser,
    config: config_lib.Config,
    optimizer: optax.GradientTransformation,
    null: Caption,
    mesh: Mesh,
    state_shardings: TrainState,
) -> jax.stages.Wrapped:
    """The jitted step. It is donated the state; the batch lies as ``mesh.batch_sharding`` says.

    Where the loss or the gradients' norm is not finite, the step is skipped: parameters, optimizer, and averages stay
    as they are, to the bit, and only the counts move on. Metrics are the float32 scalars ``loss`` and ``grad_norm``
    as they were found, and ``param_norm``; the state's ``skipped`` and ``skipped_in_a_row``; and ``finite``, a
    boolean for each leaf of the gradients, in the tree's order.
    """
    evaluate = _over(mesh, denoiser, config, null, jax.tree.map(lambda leaf: leaf.spec, state_shardings.params))

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        loss, gradients = evaluate(state, batch)
        squares = jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients)])
        grad_norm = optax.tree.norm(gradients)
        # Global scalars, so that all devices choose alike.
        is_good = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step - state.skipped
        new = {
            "params": params,
            "ema": averaging.ema_update(state.ema, params, done, config.optim.ema_decay),
            "optimizer": optimizer_state,
            "averages": {
                std: averaging.power_update(average, params, done + 1, float(std))
                for std, average in state.averages.items()
            },
        }
        kept = {name: getattr(state, name) for name in new}
        after = TrainState(
            step=state.step + 1,
            attempt=state.attempt,
            skipped=state.skipped + jnp.where(is_good, 0, 1),
            skipped_in_a_row=jnp.where(is_good, 0, state.skipped_in_a_row + 1),
            **jax.tree.map(lambda new, old: jnp.where(is_good, new, old), new, kept),
        )
        metrics = {"loss": loss, "grad_norm": grad_norm, "param_norm": optax.tree.norm(after.params)}
        counts = {"skipped": after.skipped, "skipped_in_a_row": after.skipped_in_a_row}
        return after, metrics | counts | {"finite": jnp.isfinite(squares)}

    # out_shardings equal to the inputs', or the second call would see other shardings and fail.
    return jax.jit(
        step,
        in_shardings=(state_shardings, mesh_lib.batch_sharding(mesh)),
        out_shardings=(state_shardings, mesh_lib.replicated(mesh)),
        donate_argnums=0,
    )
