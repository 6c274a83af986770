"""A small labelled data set and a tokenizer, importable by the pipeline's workers."""

import io

import jax
import numpy as np
import tensorflow_datasets as tfds
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

from dfjax.inputs.codec import Identity
from dfjax.inputs.conditioning import Tokens
from dfjax.inputs.spec import Inputs

LABELS = ("red_panda", "owl", "deer")
SIZE = 24


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class TinyLabelled(tfds.core.GeneratorBasedBuilder):
    """Plain pictures whose grey level tells them apart. ``damaged`` ones are no pictures at all."""

    VERSION = tfds.core.Version("1.0.0")
    COUNT = 23
    damaged: frozenset[int] = frozenset()

    def __init__(self, *, damaged=(), file_format="array_record", **kwargs):
        self.damaged = frozenset(damaged)
        super().__init__(file_format=file_format, **kwargs)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=LABELS),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        for i in range(self.COUNT):
            file = b"not a picture" if i in self.damaged else png(np.full((SIZE, SIZE + 8, 3), 10 * i, np.uint8))
            yield i, {"image": io.BytesIO(file), "label": i % len(LABELS)}


class Letters:
    """A tokenizer of 22 letters."""

    LENGTH = 22
    max_tokens = LENGTH
    vocab_size = 256
    model = b""

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode()[: self.LENGTH].ljust(self.LENGTH, b"\0"), np.uint8).astype(np.int32)

    def is_cut(self, text: str) -> bool:
        return len(text.encode()) > self.LENGTH


def inputs(source=None, resolution=8) -> Inputs:
    """Pictures, letters, and the columns of a source."""
    return Inputs(Identity(resolution, resolution), Tokens(Letters()), source.columns if source else {})


def sharding(devices=None) -> NamedSharding:
    devices = jax.devices()[:1] if devices is None else devices
    mesh = jax.sharding.Mesh(np.array(devices).reshape(-1, 1, 1), ("data", "fsdp", "tensor"))
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
