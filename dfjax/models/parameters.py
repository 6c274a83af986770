"""What a parameter is, said beside it where its layer is made, and read by all that treat parameters differently.

``parallel/rules.py`` reads how it may be split, ``flops.py`` what it costs, ``train/optim.py`` how it is trained. A
description is metadata of the NNX variable: it is no array, and in no checkpoint.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx

from dfjax.core import trees

# The leading axis of layers stacked for a scan (stack.py): each layer is fetched where it runs.
LAYERS = "layers"
AXES = ("embed", "heads", "hidden", LAYERS)
TOKENS = ("one", "text", "image", "all")


@dataclasses.dataclass(frozen=True)
class Description:
    """A parameter, as who made its layer knows it.

    Attributes:
      axes: for each axis what lies along it, of ``AXES``: channels of the residual stream, heads with their channels,
        hidden channels of an MLP, stacked layers; None: nothing that a mesh could split.
      tokens: of ``TOKENS``, which of an example's tokens are multiplied by it; None: it is in no matrix product.
      of_data: what it is multiplied by is data, which needs no gradient.
      decays: weight decay acts on it. muon: it is a matrix [inputs, outputs] inside a layer, which Muon may move.

    Raises:
      ValueError: a name that is not known.
    """

    axes: tuple[str | None, ...]
    tokens: str | None = None
    of_data: bool = False
    decays: bool = False
    muon: bool = False

    def __post_init__(self) -> None:
        if not {*self.axes} <= {None, *AXES} or self.tokens not in (None, *TOKENS):
            raise ValueError(f"{self}: axes are {', '.join(AXES)} or None, tokens {', '.join(TOKENS)} or None")

    @property
    def is_stacked(self) -> bool:
        return self.axes[:1] == (LAYERS,)

    def stacked(self) -> "Description":
        """The same of many layers along a leading axis."""
        return dataclasses.replace(self, axes=(LAYERS, *self.axes))

    def of_one_layer(self) -> "Description":
        """The inverse of :meth:`stacked`."""
        return dataclasses.replace(self, axes=self.axes[1:])


# By the parameter's name, its path in the tree of parameters joined by slashes; what is not described is missing.
Descriptions = Mapping[str, Description]


def metadata(*axes: str | None, **more: Any) -> dict[str, Any]:
    """The metadata of an NNX variable with these ``axes``: ``nnx.Param(value, **metadata("embed"))``.

    Args:
      more: the other attributes of :class:`Description`.
    """
    return {"described": Description(axes, **more)}


def describe(parameter: nnx.Variable, *axes: str | None, **more: Any) -> nnx.Variable:
    """Describe the parameter of a layer that was made elsewhere, and give it back; arguments as of :func:`metadata`."""
    parameter.set_metadata(**metadata(*axes, **more))
    return parameter


def described(state: nnx.State) -> dict[str, Description]:
    """The descriptions of a state's parameters, of those that have one."""
    flat = nnx.to_flat_state(state)
    found = {"/".join(map(str, path)): variable.get_metadata("described", None) for path, variable in flat}
    return {name: description for name, description in found.items() if description is not None}


def undescribed(shapes: Any, descriptions: Descriptions) -> list[str]:
    """The names of a tree's parameters that have no description."""
    return [name for name in trees.named_leaves(shapes) if name not in descriptions]
