"""Write a copy of emoji_captions in which pictures have the captions of others: the control of docs/evaluation.md.

    python benchmarks/shuffle_captions.py --data_dir=.cache/shuffled
    TFDS_DATA_DIR=.cache/shuffled dfjax train --config=configs/emoji.py --workdir=runs/shuffled
    dfjax evaluate --workdir=runs/shuffled

What such a run draws can be as good as any, but shows its caption by chance only: whatever finds a caption in it finds
what is not there. Training reads the copy, by the environment variable; the evaluation reads the true one.

Only training pictures are shuffled, within their category, and none keeps its own caption. So a recipe that names a
category has the same pictures and the same words as before.
"""

import collections
import contextlib
import sys

import numpy as np
import tensorflow_datasets as tfds
from absl import flags

from dfjax.cli import app
from dfjax.datasets import emoji_captions
from dfjax.datasets.emoji_captions import Pair, Pictures

_DATA_DIR = flags.DEFINE_string("data_dir", None, "folder to write it to; not where the true one is", required=True)


def shuffled(pictures: Pictures, categories: dict[str, str], seed: int = 0) -> Pictures:
    """The same keys and the same values, each of another key of its category (but for a category's only one)."""
    by_category: dict[str, list[Pair]] = collections.defaultdict(list)
    for pair in sorted(pictures):
        by_category[categories.get(pictures[pair][0], "")].append(pair)
    random, moved = np.random.default_rng(seed), {}
    for pairs in by_category.values():
        # One step along a circle in random order: nobody stays where it was.
        circle = [pairs[place] for place in random.permutation(len(pairs))]
        moved.update(zip(circle, (pictures[pair] for pair in (*circle[1:], circle[0])), strict=True))
    return moved


with tfds.core.registered.skip_registration():

    class EmojiCaptions(emoji_captions.EmojiCaptions):
        """Under the same name, so that a recipe finds it where the true one would be."""

        def _generate_examples(self, pictures, categories, pairs):
            pairs = set(pairs)
            if pairs.isdisjoint(emoji_captions.heldout_pairs(pictures)):
                pictures = shuffled({pair: pictures[pair] for pair in pairs}, categories)
            return super()._generate_examples(pictures, categories, pairs)


def main(rest: list[str]) -> None:
    """Write it, and print where."""
    app.refuse_rest(rest)
    builder = EmojiCaptions(data_dir=_DATA_DIR.value)
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()
    print(builder.data_dir)


if __name__ == "__main__":
    app.run(main, sys.argv, __doc__)
