"""A port: pictures to what is noised, and back.

A codec names the arrays of an example that it reads (``spec``), fills them on the host from a decoded picture
(``row``), makes on the device what is to be noised (``encode``), and pictures of what was drawn (``decode``).
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from dfjax.config import Config, ConfigError
from dfjax.core import images

Clean = Float[Array, "batch height width channels"]
Pictures = UInt8[Array, "batch picture_height picture_width 3"]
Batch = Mapping[str, Array]


class Codec:
    """What the house asks of a codec; one of your own is picklable, since it goes to the workers of a pipeline.

    Attributes:
      spec: the arrays of an example that it reads, by name, without the batch axis.
      shape: height, width and channels of what is noised.
      picture: height and width of the pictures that it takes and gives; None where records need none.
      obstacle: why nothing can be drawn through it, for a person; empty where it can.
    """

    picture: tuple[int, int] | None = None
    obstacle = ""
    shape: tuple[int, int, int]

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        raise NotImplementedError

    def row(
        self, picture: UInt8[np.ndarray, "height width 3"] | None, columns: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Its arrays of one example, apart from those that are columns of the source already: all, by default."""
        return {}

    def encode(self, batch: Batch, keys: Key[Array, "batch"] | None = None) -> Clean:
        """What the rows of a batch are to become again, float32. ``keys``: of each row, for a codec that draws."""
        raise NotImplementedError

    def decode(self, clean: Clean) -> Pictures:
        """Pictures, uint8, of what was drawn."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Identity(Codec):
    """Pixels: uint8 to [-1, 1], x / 127.5 - 1."""

    height: int
    width: int

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {"image": jax.ShapeDtypeStruct(self.shape, jnp.uint8)}

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return self.height, self.width, 3

    @property
    def picture(self) -> tuple[int, int]:  # type: ignore[override]
        return self.height, self.width

    def row(self, picture, columns):
        return {} if picture is None else {"image": picture}

    def encode(self, batch, keys=None):
        return images.to_unit(batch["image"])

    def decode(self, clean):
        return images.to_uint8(clean)


@dataclasses.dataclass(frozen=True)
class Latents(Codec):
    """Latents of an encoder, given as they are. Pictures cannot be made of them: the decoder is not at hand."""

    shape: tuple[int, int, int]
    obstacle = "this run is on latents, which dfjax cannot yet turn into pictures: only pixels can be drawn"

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {"latent": jax.ShapeDtypeStruct(self.shape, jnp.bfloat16)}

    def encode(self, batch, keys=None):
        return batch["latent"].astype(jnp.float32)

    def decode(self, clean):
        raise ConfigError(self.obstacle)


def identity(config: Config) -> Identity:
    """Pixels of data.resolution."""
    return Identity(config.data.resolution, config.data.resolution)


def latents(config: Config) -> Latents:
    """Latents of data.latent_channels, data.latent_reduction times smaller than the pictures."""
    side = config.data.resolution // config.data.latent_reduction
    return Latents((side, side, config.data.latent_channels))
