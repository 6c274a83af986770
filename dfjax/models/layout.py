"""Where a network's arrays lie on devices, as the few functions that a network calls where it matters.

A network knows no mesh. It asks its layout to run attention, to split tokens and join them again, and to hand it a
layer's weights; the default layout is one device, and does nothing. ``parallel/layout.py`` makes one for a mesh.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dfjax.models import attention
from dfjax.models.parameters import Descriptions

Heads = Float[Array, "batch tokens heads head"]
Streams = tuple[Heads, ...]
Masks = tuple[Bool[Array, "batch tokens"], ...]
Attend = Callable[[Streams, Streams, Streams, Masks], Streams]


def joint(queries: Streams, keys: Streams, values: Streams, masks: Masks, *, kernel: str = "xla") -> Streams:
    """Attention of all streams' tokens over all streams' tokens, given back stream by stream."""
    query, key, value = (
        jnp.concatenate(part, axis=1) if len(part) > 1 else part[0] for part in (queries, keys, values)
    )
    mask = jnp.concatenate(masks, axis=1) if len(masks) > 1 else masks[0]
    out = attention.attend(query, key, value, mask, kernel=kernel)
    ends = [sum(q.shape[1] for q in queries[: i + 1]) for i in range(len(queries) - 1)]
    return tuple(jnp.split(out, ends, axis=1)) if ends else (out,)


def _same(x: Any) -> Any:
    return x


def _as_they_are(weights: Any, descriptions: Descriptions) -> Any:
    return weights


def _uncut(x: Array, axis: int = 1) -> Array:
    return x


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a network calls.

    Attributes:
      attend: joint attention of one or more streams of tokens: (queries, keys, values, masks) -> outputs.
      tokens: activations [batch, tokens, width] to the same ones, split as they should be.
      part: an array whose ``axis`` (1 unless said) counts all tokens to the part that is worked on here.
      whole: the parts [batch, tokens, ...] of all devices joined again.
      weights: a tree of parameters, with their descriptions, to the same ones in the type and on the devices in which
        they are used; those of stacked layers are left for the layer that runs.
      gathers: whether ``weights`` makes copies, which the backward pass must not keep but gather again.
    """

    attend: Attend = joint
    tokens: Callable[[Any], Any] = _same
    part: Callable[..., Array] = _uncut
    whole: Callable[[Array], Array] = _uncut
    weights: Callable[[Any, Descriptions], Any] = _as_they_are
    gathers: bool = False


ONE_DEVICE = Layout()
