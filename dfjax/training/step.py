"""The training step: one jitted, donated, sharded function of (state, batch)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from dfjax.diffusion import averaging
from dfjax.inputs.network import Network
from dfjax.models.denoiser import Denoiser
from dfjax.objective import port
from dfjax.parallel import layout
from dfjax.parallel import mesh as mesh_lib
from dfjax.training.state import TrainState

Batch = dict[str, Array]
# Scalars by name, and what the guard found; see :func:`make`.
Metrics = dict[str, Array]


def loss_and_gradients(
    network: Network, denoiser: Denoiser, state: TrainState, batch: Batch, index: Int[Array, "batch"]
) -> tuple[dict[str, Array], Any]:
    """Means over rows of the global batch, the ``loss`` among them, and gradients, summed over micro-batches.

    Sums are float32. The gradients are those of what the objective minimises, ``loss`` is what it reports as that.

    Args:
      denoiser: the network's, as its arrays lie here. state: its parameters, and the averages where they are wanted.
      batch: see ``network.inputs``. index: the rows' places in the global batch.
    """
    train, objective = network.config.train, network.objective
    parts = train.accumulation

    def minimised(trained, part: Batch, index: Int[Array, "batch"]) -> tuple[Array, dict[str, Array]]:
        params, own = port.split(trained)
        ema = jax.lax.stop_gradient(state.ema) if objective.needs_ema else None
        bound = network.bound(params, denoiser=denoiser, own=own, frozen=state.frozen, ema=ema)
        keys = port.Keys(train.seed, state.step, state.attempt, index, train.batch_size)
        losses, scalars = objective.losses(bound, part, keys)
        return jnp.mean(losses), {name: jnp.mean(each) for name, each in {"loss": losses, **scalars}.items()}

    def evaluate(part: Batch, index: Int[Array, "batch"]) -> tuple[dict[str, Array], Any]:
        (_, means), gradients = jax.value_and_grad(minimised, has_aux=True)(state.params, part, index)
        return means, gradients

    if parts == 1:
        return evaluate(batch, index)

    # Every parts-th row makes a micro-batch: each device then finds its share among its own rows.
    micro = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0), (batch, index)
    )

    def add(sums, part):
        return jax.tree.map(jnp.add, sums, evaluate(*part)), None

    shapes = jax.eval_shape(evaluate, *jax.tree.map(lambda x: x[0], micro))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    sums, _ = jax.lax.scan(add, zeros, micro)
    return jax.tree.map(lambda x: x / parts, sums)


def _over(mesh: Mesh, network: Network, specs: TrainState) -> Callable:
    """(state, batch) -> means and gradients of the global batch, each device at work on its own rows."""
    config, denoiser = network.config, network.denoiser
    rows = config.train.batch_size
    if mesh.size == 1:
        on_one = denoiser.on(layout.make(config.model, denoiser.work, mesh))
        return lambda state, batch: loss_and_gradients(network, on_one, state, batch, jnp.arange(rows, dtype=jnp.int32))
    own = denoiser.on(layout.manual(config.model, denoiser.work, mesh))
    axes, shards = layout.manual_axes(mesh), mesh_lib.batch_shards(mesh)
    with_ema = network.objective.needs_ema

    def on_device(params, ema, frozen, number, attempt, batch: Batch):
        place = jax.lax.axis_index(mesh_lib.BATCH_AXES)
        index = place * (rows // shards) + jnp.arange(rows // shards, dtype=jnp.int32)
        state = TrainState(step=number, attempt=attempt, params=params, ema=ema, optimizer=None, frozen=frozen)
        means, gradients = loss_and_gradients(network, own, state, batch, index)
        # Each is a mean over as many rows, and those along `context` have the loss of the same ones.
        gradients = jax.tree.map(lambda x: x / (shards * mesh.shape["context"]), gradients)
        return jax.lax.pmean(means, mesh_lib.BATCH_AXES), layout.summed(gradients, network.described, mesh)

    def parts_of(spec: PartitionSpec) -> PartitionSpec:
        return PartitionSpec(*(axis if axis in axes else None for axis in spec))

    params, whole = jax.tree.map(parts_of, specs.params), PartitionSpec()
    run = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(params, params if with_ema else whole, whole, whole, whole, mesh_lib.BATCH),
        out_specs=(whole, params),
        axis_names=frozenset(axes),
        check_vma=False,
    )
    return lambda state, batch: run(
        state.params, state.ema if with_ema else None, state.frozen, state.step, state.attempt, batch
    )


def make(
    network: Network, optimizer: optax.GradientTransformation, mesh: Mesh, state_shardings: TrainState
) -> jax.stages.Wrapped:
    """The jitted step. It is donated the state; the batch lies as ``mesh.batch_sharding`` says.

    Where the loss or the gradients' norm is not finite, the step is skipped: parameters, optimizer, and averages stay
    as they are, to the bit, and only the counts move on. Metrics are the float32 scalars ``loss`` and ``grad_norm``
    as they were found, and ``param_norm``; other ``scalars`` of the objective by name; the state's ``skipped`` and
    ``skipped_in_a_row``; and ``finite``, a boolean for each leaf of the gradients, in the tree's order.
    """
    evaluate = _over(mesh, network, jax.tree.map(lambda leaf: leaf.spec, state_shardings))
    ema_decay = network.config.optim.ema_decay

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        means, gradients = evaluate(state, batch)
        loss = means.pop("loss")
        squares = jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients)])
        grad_norm = optax.tree.norm(gradients)
        # Global scalars, so that all devices choose alike.
        is_good = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step - state.skipped
        new = {
            "params": params,
            "ema": averaging.ema_update(state.ema, params, done, ema_decay),
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
            frozen=state.frozen,
            skipped_in_a_row=jnp.where(is_good, 0, state.skipped_in_a_row + 1),
            **jax.tree.map(lambda new, old: jnp.where(is_good, new, old), new, kept),
        )
        metrics = {"loss": loss, "grad_norm": grad_norm, "param_norm": optax.tree.norm(after.params)}
        counts = {"skipped": after.skipped, "skipped_in_a_row": after.skipped_in_a_row}
        return after, metrics | counts | {"finite": jnp.isfinite(squares), "scalars": means}

    # out_shardings equal to the inputs', or the second call would see other shardings and fail.
    return jax.jit(
        step,
        in_shardings=(state_shardings, mesh_lib.batch_sharding(mesh)),
        out_shardings=(state_shardings, mesh_lib.replicated(mesh)),
        donate_argnums=0,
    )
