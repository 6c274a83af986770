"""The optimizer and its learning rate, from the config."""

import jax
import optax

from dfjax import config as config_lib


def learning_rate(config: config_lib.Config) -> optax.Schedule:
    """Learning rate by step: linear warm-up, constant, then a decay to 0 in the run's last ``decay_fraction``.

    Raises:
      ConfigError: warm-up and decay overlap.
    """
    optim, total = config.optim, config.train.num_steps
    decay_steps = 0 if optim.decay == "none" else round(optim.decay_fraction * total)
    constant_until = total - decay_steps
    if optim.warmup_steps > constant_until:
        raise config_lib.ConfigError(
            f"config key 'optim.warmup_steps': {optim.warmup_steps} steps of warm-up run into the decay, which starts "
            f"at step {constant_until}; try --config.optim.warmup_steps={constant_until // 2}"
        )
    peak = optim.learning_rate
    # (1 + step) / warm-up, so that the first step already moves.
    warmup = optax.linear_schedule(peak / max(optim.warmup_steps, 1), peak, max(optim.warmup_steps - 1, 1))
    if decay_steps == 0:
        decay = optax.constant_schedule(peak)
    elif optim.decay == "linear":
        decay = optax.linear_schedule(peak, 0.0, decay_steps)
    else:
        decay = optax.cosine_decay_schedule(peak, decay_steps)
    return optax.join_schedules([warmup, optax.constant_schedule(peak), decay], [optim.warmup_steps, constant_until])


def make(config: config_lib.Config) -> optax.GradientTransformation:
    """Clipping by global norm, then AdamW with decay on matrices only."""
    optim = config.optim
    parts = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
    adamw = optax.adamw(learning_rate(config), b1=0.9, b2=optim.beta2, weight_decay=optim.weight_decay, mask=_matrices)
    return optax.chain(*parts, adamw)


def _matrices(params):
    """True for kernels and embeddings: decay on biases and gains only hurts."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding"), params)
