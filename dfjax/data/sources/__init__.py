"""The data set that a config names: one that is registered, or any prepared TFDS data set."""

import pathlib
import re
import sys
from types import ModuleType

from dfjax import config
from dfjax.core.registry import SOURCES
from dfjax.data.errors import DataError
from dfjax.data.source import Source


def open_source(data: config.Data, split: str) -> Source:
    """Open a split of the data set that ``data`` describes. Touches no network.

    What is registered in SOURCES is a function of ``data`` and the split, under the name without config and version.

    Raises:
      DataError: the data set is not there, or has no such split, feature or category, or no record.
    """
    name = _registered(data)
    source = SOURCES[name](data, split) if name else _tfds().open_source(data, split)
    if not len(source):
        raise DataError(f"split {split!r} of {data.name} is empty")
    return source


def build(data: config.Data) -> pathlib.Path:
    """Build a data set where it is missing: by the function ``build(data)`` in the module of what is registered.

    Returns:
      Its folder.

    Raises:
      DataError: it is missing and cannot be built here.
    """
    name = _registered(data)
    if not name:
        return pathlib.Path(_tfds().open_builder(data).data_dir)
    make = getattr(sys.modules.get(SOURCES[name].__module__), "build", None)
    if make is None:
        raise DataError(f"there is nothing to build of {name}, which the recipe or program itself gives")
    return make(data)


def _registered(data: config.Data) -> str:
    """The name that ``data`` is registered under; empty for a data set of TFDS."""
    name = re.split("[/:]", data.name)[0]
    return name if name in SOURCES else ""


def _tfds() -> ModuleType:
    # Seconds to import, for whoever has a source of their own.
    from dfjax.data.sources import tfds

    return tfds
