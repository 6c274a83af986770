"""From pictures to features: one network, on all devices, the same for any batch."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from dfjax.core import fingerprint
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import operations as ops
from dfjax.weights import files as weights_lib

# Grows where the same parameters would give other features: reference statistics of before are refused then.
_VERSION = 1

Apply = Callable[[Mapping[str, Any], ops.Pictures], Float[Array, "batch size"]]
Resize = Callable[[ops.Pictures, int], ops.Pictures]


def bicubic(pictures: ops.Pictures, resolution: int) -> ops.Pictures:
    """Pictures of 0..255 as squares of ``resolution`` pixels, by Keys's cubic with a = -0.5, clipped to 0..255.

    To a smaller size the kernel is widened, so that nothing aliases (as Pillow does; arXiv 2104.11222 says why that
    matters); to a larger one it is the plain kernel. Nothing is rounded.
    """
    shape = (pictures.shape[0], resolution, resolution, pictures.shape[-1])
    return jnp.clip(jax.image.resize(pictures, shape, "cubic", antialias=True), 0, 255)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to pictures before the network: resized to squares, divided by 255, less ``mean``, over ``std``."""

    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = bicubic

    def __call__(self, pictures: UInt8[Array, "batch height width 3"]) -> ops.Pictures:
        resized = self.resize(pictures.astype(jnp.float32), self.resolution)
        return (resized / 255 - jnp.array(self.mean)) / jnp.array(self.std)


class Extractor:
    """Features of pictures, by a network with fixed parameters.

    Features of a picture depend neither on the batch that it is in nor on the number of devices, but for the last bits
    of float32. All is computed in float32, on TPUs too, which by themselves would multiply in bfloat16.

    Attributes:
      name: of the network. size: features of a picture. fingerprint: SHA-256 of all that features depend on.
    """

    def __init__(
        self,
        name: str,
        apply: Apply,
        params: Mapping[str, np.ndarray],
        preprocessing: Preprocessing,
        mesh: Mesh,
        batch_size: int = 64,
    ):
        """Nothing is compiled, and no parameter is put on a device, before the first call.

        Args:
          apply: the network, a function of parameters by name and of normalised pictures.
          params: by name; those that the network does not look at are dropped.
          batch_size: pictures at once, rounded up to what the mesh divides.

        Raises:
          WeightsError: the parameters are not those of the network.
        """
        shards = mesh_lib.batch_shards(mesh)
        self.batch_size = -(-batch_size // shards) * shards
        self.name, self._mesh, self._params = name, mesh, _float32(params)
        shape = jax.ShapeDtypeStruct((1, preprocessing.resolution, preprocessing.resolution, 3), jnp.float32)
        used = _Recorded(self._params)
        try:
            self.size = int(jax.eval_shape(lambda pictures: apply(used, pictures), shape).shape[1])
        except (TypeError, ValueError) as error:
            raise weights_lib.WeightsError("the shapes of its parameters do not fit each other") from error
        self._params = {each: self._params[each] for each in sorted(used.looked_at)}
        said = [name, _VERSION, dataclasses.astuple(preprocessing)[:3], preprocessing.resize.__qualname__]
        self.fingerprint = hashlib.sha256(repr([*said, fingerprint.of_arrays(self._params)]).encode()).hexdigest()
        self._on_devices: Mapping[str, Array] | None = None

        def extract(params: Mapping[str, Array], pictures: UInt8[Array, "batch height width 3"]):
            with jax.default_matmul_precision("highest"):
                return apply(params, preprocessing(pictures))

        by_row, whole = mesh_lib.batch_sharding(mesh), mesh_lib.replicated(mesh)
        self._extract = jax.jit(extract, in_shardings=(whole, by_row), out_shardings=by_row)

    def __call__(self, pictures: UInt8[np.ndarray, "n height width 3"]) -> Float[np.ndarray, "n size"]:
        """Features of pictures of any one size; every process gives the same pictures and gets all features.

        Raises:
          ValueError: they are no uint8 pictures of three colours.
        """
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ValueError(
                f"features are of uint8 pictures [n, height, width, 3], not {pictures.dtype} {pictures.shape}"
            )
        if self._on_devices is None:
            whole = mesh_lib.replicated(self._mesh)
            self._on_devices = {name: mesh_lib.put(value, whole) for name, value in self._params.items()}
        features = np.empty((len(pictures), self.size), np.float32)
        for start in range(0, len(pictures), self.batch_size):
            part = pictures[start : start + self.batch_size]
            # Rows of nothing up to the one size that is compiled; what comes of them is dropped.
            padded = np.pad(part, [(0, self.batch_size - len(part)), (0, 0), (0, 0), (0, 0)])
            rows = mesh_lib.put(padded, mesh_lib.batch_sharding(self._mesh))
            features[start : start + len(part)] = mesh_lib.fetch(self._extract(self._on_devices, rows))[: len(part)]
        return features


class _Recorded(Mapping[str, np.ndarray]):
    """Parameters, and which of them were looked at."""

    def __init__(self, params: Mapping[str, np.ndarray]):
        self._params = params
        self.looked_at: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        self.looked_at.add(name)
        return self._params[name]

    def __contains__(self, name: object) -> bool:
        return name in self._params

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)


def _float32(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(value, np.float32) for name, value in params.items()}
