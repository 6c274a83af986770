"""A captioned data set some of whose records are damaged, in every way there is."""

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tests.data import kinds
from tests.data.tiny import png

WAYS = [*kinds.DAMAGED, *kinds.NO_CAPTIONS]
ODD = [*kinds.USABLE, *kinds.CAPTIONS]


def damaged(count: int, share: float = 0.01, seed: int = 0) -> dict[int, str]:
    """Index of each damaged record, and in which of WAYS it is: all of them where there are enough."""
    chosen = np.random.default_rng(seed).choice(count, round(count * share), replace=False)
    return {int(index): WAYS[i % len(WAYS)] for i, index in enumerate(chosen)}


def odd(count: int) -> dict[int, str]:
    """Index of each record that is unusual and right, and in which of ODD it is; as many as there are damaged ones."""
    bad = damaged(count)
    return {(index + 1) % count: ODD[i % len(ODD)] for i, index in enumerate(bad) if (index + 1) % count not in bad}


class MixedCaptioned(tfds.core.GeneratorBasedBuilder):
    """Plain pictures of a colour of their own, 1% of them damaged and 1% odd."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {}
    count: int = 0

    def __init__(self, *, count=0, file_format="array_record", **kwargs):
        self.count = count
        super().__init__(file_format=file_format, **kwargs)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "text": tfds.features.Text(),
        }
        # In the order of their numbers, so that a record's index is its number.
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        bad, unusual = damaged(self.count), odd(self.count)
        for i in range(self.count):
            way = bad.get(i) or unusual.get(i, "")
            colour = (i % 251, i // 251 % 251, 7 * i % 251)
            image, text = png(np.full((16, 16, 3), colour, np.uint8)), f"number {i}".encode()
            if way in kinds.DAMAGED:
                image = kinds.damaged(way)
            elif way in kinds.USABLE:
                image = kinds.usable(way)
            elif way:
                text = (kinds.CAPTIONS | {k: (v, "") for k, v in kinds.NO_CAPTIONS.items()})[way][0]
            yield i, {"image": io.BytesIO(image), "text": text}
