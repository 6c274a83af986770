"""The meshes to compare, and the config that all of them share."""

import dataclasses
import math

from dfjax import config

VALUES = {
    "data.vary_captions": True,
    "data.flip": True,
    "diffusion.caption_dropout": 0.3,
    "train.batch_size": 32,
}


# Two streams over latents and features, of which some are padding.
MMDIT = {
    "data.name": "synthetic",
    "data.validation_split": "",
    "data.latent_channels": 4,
    "data.resolution": 64,
    "text.features": 24,
    "model.name": "mmdit",
    "model.patch": 2,
    "model.overlap": False,
    "diffusion.caption_dropout": 0.3,
    "train.batch_size": 32,
}


# One stream over pictures and features.
FEATURES = {
    "data.name": "synthetic",
    "data.validation_split": "",
    "text.features": 24,
    "diffusion.caption_dropout": 0.3,
    "train.batch_size": 32,
}
NETWORKS = {"": VALUES, "features ": FEATURES, "mmdit ": MMDIT}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Sizes of the axes data, fsdp, tensor and, where given, context and replica; and micro-batches per step."""

    sizes: tuple[int, ...]
    accumulation: int = 1
    # As if fsdp lay over dimensions of a torus of these lengths.
    torus: tuple[int, ...] = ()
    network: str = ""

    @property
    def values(self) -> dict:
        return NETWORKS[self.network]

    @property
    def alone(self) -> str:
        """The layout with the same network on one device."""
        return f"{self.network}1x1x1"

    @property
    def mesh(self) -> config.Mesh:
        return config.Mesh(**dict(zip(("data", "fsdp", "tensor", "context", "replica"), self.sizes, strict=False)))

    @property
    def count(self) -> int:
        return math.prod(self.sizes)


LAYOUTS = {
    "1x1x1": Layout((1, 1, 1)),
    "8x1x1": Layout((8, 1, 1)),
    "1x8x1": Layout((1, 8, 1)),
    "2x2x2": Layout((2, 2, 2)),
    "2x1x1x2x2": Layout((2, 1, 1, 2, 2)),
    "1x2x2x2": Layout((1, 2, 2, 2)),
    "1x8x1 over a torus of 2x4": Layout((1, 8, 1), torus=(2, 4)),
    "in 2 parts": Layout((1, 1, 1), 2),
    "2x2x2 in 4 parts": Layout((2, 2, 2), 4),
    "features 1x1x1": Layout((1, 1, 1), network="features "),
    "features 1x2x2x2": Layout((1, 2, 2, 2), network="features "),
    "mmdit 1x1x1": Layout((1, 1, 1), network="mmdit "),
    "mmdit 2x2x1x2": Layout((2, 2, 1, 2), network="mmdit "),
    "mmdit 1x1x2x4": Layout((1, 1, 2, 4), network="mmdit "),
    "mmdit 1x2x1x4 in 2 parts": Layout((1, 2, 1, 4), 2, network="mmdit "),
}
# Of each network one that splits all it can.
GATE = ("2x2x2", "mmdit 2x2x1x2")
# Where a number that is not finite is planted on one device.
POISONED = ("1x8x1", "2x2x2")
