"""The arrays of a batch, said once: training, validation, sampling, plans, synthetic data and pipelines read them here.

A row of a batch is a dict of arrays: those of its codec (the picture, in some form), those of its conditioner (the
caption, in some form), and extra columns of its source (a score, a mask, a class) that objective and conditioner may
read. All are sharded over the batch alike.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from dfjax.inputs.codec import Codec
from dfjax.inputs.conditioning import Conditioner

# An example's arrays by name, without the axis of the batch.
Spec = Mapping[str, jax.ShapeDtypeStruct]
Row = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A codec, a conditioner, and the extra columns of a source. Picklable: it goes to the workers of a pipeline."""

    codec: Codec
    conditioner: Conditioner
    columns: Spec = dataclasses.field(default_factory=dict)

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The arrays of an example: extra columns that codec or conditioner take as their own are named once."""
        return {**self.codec.spec, **self.conditioner.spec, **self.columns}

    @property
    def obstacle(self) -> str:
        """Why no picture can be drawn for a prompt; empty where it can."""
        return self.codec.obstacle or self.conditioner.obstacle

    def batch(self, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The arrays of ``rows`` examples."""
        return {name: jax.ShapeDtypeStruct((rows, *one.shape), one.dtype) for name, one in self.spec.items()}

    def row(self, picture: UInt8[np.ndarray, "height width 3"] | None, caption: str, columns: Row) -> Row:
        """An example's arrays from its decoded picture, its caption and its extra columns.

        Raises:
          ValueError: an array is missing, or of another shape than the spec's, by name.
        """
        made = {**columns, **self.codec.row(picture, columns), **self.conditioner.row(caption, columns)}
        found: Row = {}
        for name, wanted in self.spec.items():
            if name not in made:
                raise ValueError(f"a record has no {name!r}, which the batch's spec names: a column of its source, say")
            value = np.asarray(made[name], wanted.dtype)
            if value.shape != wanted.shape:
                raise ValueError(f"{name!r} of a record has the shape {value.shape}, not {wanted.shape}")
            found[name] = value
        return found

    def empty(self) -> Row:
        """A row of zeros, which only fills a batch up."""
        return {name: np.zeros(one.shape, one.dtype) for name, one in self.spec.items()}


def sized(batch: Mapping[str, Any]) -> int:
    """The number of rows of a batch."""
    return next(iter(batch.values())).shape[0]
