"""`dfjax data build` and `dfjax data inspect`: get the data set, and see what training will see."""

import collections
import dataclasses

import numpy as np
from PIL import Image

from dfjax import config as config_lib
from dfjax.core import images
from dfjax.data import pipeline, sources
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import Source
from dfjax.inputs.codec import Identity
from dfjax.inputs.conditioning import Tokens, Unlearned
from dfjax.inputs.spec import Inputs

_COLUMNS = 16
_LISTED = 16


def run(config: config_lib.Config, action: str, num: int = 64, out: str = "") -> None:
    """What ``dfjax data`` does: results go to stdout.

    Args:
      action: "build" (the data set, where it is missing and one of dfjax's own) or "inspect" (print what there is).
      num: pictures in the grid of what training sees first.
      out: PNG file for the grid; empty: none.

    Raises:
      DataError: another action, or data that is missing or does not fit the config.
    """
    if action == "build":
        print(sources.build(config.data))
    elif action == "inspect":
        _inspect(config, num, out)
    else:
        raise DataError(f"`dfjax data` can `build` and `inspect`, not {action!r}")


def _inspect(config: config_lib.Config, num: int, out: str) -> None:
    data = config.data
    for split in filter(None, (data.split, data.validation_split)):
        part = f" of {data.category}" if data.category else ""
        print(f"{split}: {len(sources.open_source(data, split)):,} records{part}")
    source = sources.open_source(data, data.split)
    categories = count_categories(dataclasses.replace(data, category=""))
    if categories:
        print("categories: " + ", ".join(f"{name} ({count:,})" for name, count in categories.most_common()))
    # Of captions the words are looked at, and not what a network is told of them.
    inputs = Inputs(Identity(data.resolution, data.resolution), Tokens(Unlearned(1, 0)))
    examples = pipeline.training_examples(source, inputs, data, config.train.seed)
    seen = [examples[position] for position in range(max(num, _LISTED))]
    print("what training sees first:")
    for example in seen[:_LISTED]:
        print(f"  {example.caption}")
    for record, reason in dict(pair for example in seen for pair in example.bad).items():
        print(f"damaged: {record}: {reason}")
    if out and num > 0:
        scale = max(1, 64 // data.resolution)
        sheet = images.grid(np.stack([example.row["image"] for example in seen[:num]]), columns=_COLUMNS, scale=scale)
        Image.fromarray(sheet).save(out)
        print(out)


def count_categories(data: config_lib.Data) -> collections.Counter[str]:
    """Records of data.split by category; empty if the data set has none. Records that cannot be read are left out."""
    source = sources.open_source(data, data.split)
    return collections.Counter(filter(None, (_category(source, index) for index in range(len(source)))))


def _category(source: Source, index: int) -> str:
    try:
        return source[index].category
    except BadRecord:
        return ""
