"""Run with eight devices by test_features.py: features of the same pictures on one device and on eight.

python features_program.py OUT_FILE
"""

import dataclasses
import sys

import jax
import numpy as np

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import features

COUNT = 70  # More than a batch of 64, and no multiple of 7 or 8 and 64.
MESHES = {"1": config_lib.Mesh(), "8": config_lib.Mesh(replica=2, data=2, fsdp=2)}
BATCHES = (7, 64)


def main(out: str) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    # The network at a size at which it takes a test's time.
    network = features.EFFICIENTNET_LITE0
    small = dataclasses.replace(network.preprocessing, resolution=32)
    network = dataclasses.replace(network, preprocessing=small)
    results = {}
    for devices, sizes in MESHES.items():
        mesh = mesh_lib.make(sizes, jax.devices()[: int(devices)])
        for batch in BATCHES:
            extractor = features.make(network, mesh, batch_size=batch)
            results[f"{devices} {batch}"] = extractor(pictures)
            results[f"parts {devices} {batch}"] = np.array([len(extractor._on_devices["_conv_stem.weight"].devices())])
    np.savez(out, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
