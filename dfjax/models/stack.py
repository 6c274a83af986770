"""Layers stacked along a leading axis and scanned: one layer is compiled, whatever the depth."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
from flax import nnx

from dfjax.models import attention
from dfjax.models.inputs import NetworkInputs
from dfjax.models.layout import ONE_DEVICE, Layout
from dfjax.models.parameters import described


def _cheap(primitive, *_, **__) -> bool:
    """Save all but what costs nothing to make again from what is saved: copies in another type or place."""
    return primitive.name not in ("convert_element_type", "all_gather")


POLICIES: dict[str, Callable | None] = {
    # Attention's scores are left to attention itself, which has its own checkpoint around them.
    "none": _cheap,
    "attention": _cheap,
    # Of flash attention what its backward pass starts from, or the kernel would run twice.
    "dots": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        jax.checkpoint_policies.save_only_these_names(attention.RESIDUALS),
    ),
    "full": jax.checkpoint_policies.nothing_saveable,
}


_SIZES = ("width", "depth", "heads", "patch", "overlap", "mlp_ratio", "remat", "dtype", "unroll")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackShape:
    """The sizes that every network of stacked layers has; see the config's ``model`` section for their meaning.

    ``channels`` are those of what is noised, ``features`` those of the caption's features (0: it is token ids).
    """

    width: int
    depth: int
    heads: int
    patch: int
    overlap: bool
    mlp_ratio: float
    remat: str
    dtype: str
    unroll: int
    channels: int
    features: int = 0
    learned_variance: bool = False
    layout: Layout = ONE_DEVICE

    @classmethod
    def of(cls, model: Any, inputs: NetworkInputs, **more: Any) -> Self:
        """The shape of a network for such inputs. ``model`` has the sizes above it as the config's section does."""
        sizes = {name: getattr(model, name) for name in _SIZES}
        return cls(**sizes, channels=inputs.shape[-1], features=inputs.features, **more)

    @property
    def hidden(self) -> int:
        """Hidden channels of the gated MLP: the ratio, rounded to a multiple of 8."""
        return max(8, round(self.width * self.mlp_ratio / 8) * 8)


def stack(make_block: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs) -> nnx.Module:
    """``depth`` blocks as one module whose parameters have a leading axis of layers, and say so."""

    @nnx.split_rngs(splits=depth)
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs: nnx.Rngs):
        return make_block(rngs)

    stacked = make(rngs)
    for _, parameter in nnx.iter_graph(stacked):
        if isinstance(parameter, nnx.Param) and (known := parameter.get_metadata("described", None)):
            parameter.set_metadata(described=known.stacked())
    return stacked


def run_stack(stacked: nnx.Module, x: Any, *inputs: Any, remat: str, unroll: int, layout: Layout) -> Any:
    """Scan the layers of :func:`stack` over x, a tree of activations that each layer maps to its like.

    Args:
      inputs: what every layer is given besides x. remat: of :data:`POLICIES`; "none" keeps everything, except
        weights that were gathered for their use: a whole network of those would not fit.
    """
    graph, parameters = nnx.split(stacked)
    descriptions = {name: known.of_one_layer() for name, known in described(parameters).items()}

    def layer(x: Any, parameters: nnx.State) -> tuple[Any, None]:
        # A State and its pure dict flatten in the same order, by sorted names.
        weights = layout.weights(nnx.to_pure_dict(parameters), descriptions)
        state = jax.tree.unflatten(jax.tree.structure(parameters), jax.tree.leaves(weights))
        return nnx.merge(graph, state)(x, *inputs), None

    if remat not in ("none", "attention") or layout.gathers:
        layer = jax.checkpoint(layer, policy=POLICIES[remat], prevent_cse=False)
    return jax.lax.scan(layer, x, parameters, unroll=unroll)[0]
