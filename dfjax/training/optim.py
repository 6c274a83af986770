"""The optimizer and its learning rate, from the config."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.models.parameters import Descriptions


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


def _adamw(config: config_lib.Config, descriptions: Descriptions) -> optax.GradientTransformation:
    """Adam with decoupled decay (arXiv 1711.05101): two moments, 8 bytes for each parameter."""
    optim = config.optim
    rate, mask = learning_rate(config), _decays(descriptions)
    return optax.adamw(rate, b1=0.9, b2=optim.beta2, weight_decay=optim.weight_decay, mask=mask)


def _lion(config: config_lib.Config, descriptions: Descriptions) -> optax.GradientTransformation:
    """The sign of a moment (arXiv 2302.06675): 4 bytes. Every number moves by the whole learning rate.

    So it wants 3 to 10 times less learning rate than AdamW, and as much more weight decay.
    """
    optim = config.optim
    rate, mask = learning_rate(config), _decays(descriptions)
    return optax.lion(rate, b1=0.9, b2=optim.beta2, weight_decay=optim.weight_decay, mask=mask)


def _adafactor(config: config_lib.Config, descriptions: Descriptions) -> optax.GradientTransformation:
    """Adafactor (arXiv 1804.04235): of a matrix's second moment only the means of rows and columns; no first moment.

    Updates are not scaled by the parameter, so that the learning rate is of AdamW's kind, and the second moment's decay
    rate 1 - step^-0.8 stops growing at beta2 (as in arXiv 2106.04560).
    """
    optim = config.optim

    def factored(params: optax.Params) -> optax.GradientTransformation:
        # Optax factors the two longest axes. One of layers is not to be among them: what is that short stays whole.
        stacked = (leaf for name, leaf in trees.named_leaves(params).items() if _is(descriptions, name, "is_stacked"))
        return optax.scale_by_factored_rms(
            min_dim_size_to_factor=max(_SHORTEST_FACTORED, *(1 + leaf.shape[0] for leaf in stacked), 0),
            decay_rate_fn=lambda step, power: jnp.minimum(optim.beta2, 1 - (step + 1.0) ** -power),
        )

    return optax.chain(
        optax.GradientTransformation(
            lambda params: factored(params).init(params),
            lambda updates, state, params=None: factored(updates).update(updates, state, params),
        ),
        optax.clip_by_block_rms(1.0),
        optax.add_decayed_weights(optim.weight_decay, _decays(descriptions)),
        optax.scale_by_learning_rate(learning_rate(config)),
    )


def _muon(config: config_lib.Config, descriptions: Descriptions) -> optax.GradientTransformation:
    """Muon (https://kellerjordan.github.io/posts/muon) for the matrices of stacked layers, AdamW for the others.

    A layer's matrix moves by its momentum made orthogonal: 4 bytes for each parameter. Scaled by 0.2 sqrt(longer side)
    (arXiv 2502.16982), a step is as long as AdamW's, so that one learning rate and decay serve both.
    """
    optim = config.optim

    def label(params: optax.Params) -> Any:
        return trees.map_named(lambda name, _: "muon" if _is(descriptions, name, "muon") else "adamw", params)

    muon = optax.contrib.muon(
        learning_rate(config),
        weight_decay=optim.weight_decay,
        muon_weight_dimension_numbers=lambda params: jax.tree.map(lambda _: _LAYER_MATRIX, params),
        consistent_rms=0.2,
    )
    return optax.partition({"muon": muon, "adamw": _adamw(config, descriptions)}, label)


# Learning rate and weight_decay mean the same in all: decay is decoupled, of what decays only, and multiplied by the
# learning rate. ``training/__init__.py`` has their names.

_SHORTEST_FACTORED = 128
# All axes that are not named are of layers, each of which is made orthogonal apart.
_LAYER_MATRIX = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)


def _is(descriptions: Descriptions, name: str, what: str) -> bool:
    return name in descriptions and getattr(descriptions[name], what)


def _decays(descriptions: Descriptions) -> Callable[[Any], Any]:
    """True for what decays, as kernels and embeddings: decay on biases and gains only hurts."""
    return lambda params: trees.map_named(lambda name, _: _is(descriptions, name, "decays"), params)
