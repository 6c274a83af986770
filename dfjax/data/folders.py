"""A prepared TFDS data set in a folder, opened without running or reading what it names.

TFDS imports the module of each class that ``features.json`` names, whatever module that is, and joins names out of the
descriptions to paths. A data set may come from anybody, so both are looked at first.
"""

import json
import pathlib
from collections.abc import Iterator

import tensorflow_datasets as tfds
from google.protobuf import json_format
from tensorflow_datasets.core.proto import feature_pb2

from dfjax.data.errors import DataError

# Kinds of features that may stand beside picture and caption. Others hold pictures or sounds that TFDS would decode
# with each record, unbounded (`Video` with arguments for ffmpeg out of the data set), or code that is not TFDS's.
ADMITTED = (
    tfds.features.FeaturesDict,
    tfds.features.Image,
    tfds.features.Text,
    tfds.features.ClassLabel,
    tfds.features.Scalar,
    tfds.features.Tensor,
    tfds.features.BBoxFeature,
    tfds.features.Sequence,
    tfds.features.Translation,
)
_NAMES = frozenset(f"{kind.__module__}.{kind.__name__}" for kind in ADMITTED)
# Until TFDS 4.4 several kinds bore this name.
_ALIASES = frozenset(alias for kind in ADMITTED for alias in kind.ALIASES)
# TFDS makes a name for each.
_MOST_CLASSES = 1_000_000
_IMAGE = f"{tfds.features.Image.__module__}.{tfds.features.Image.__name__}"


def open_builder(folder: pathlib.Path) -> tfds.core.DatasetBuilder:
    """The data set in a folder such as ``mnist/3.0.1``, as its own files describe it.

    Raises:
      DataError: a description is missing or damaged, or names a class that is not :data:`ADMITTED`, what would be
        decoded without a bound, or a file outside of ``folder``.
    """
    _check_features(folder)
    try:
        builder = tfds.builder_from_directory(folder)
        files = [pathlib.Path(path) for split in builder.info.splits.values() for path in split.filepaths]
    except Exception as error:  # Of JSON, protocol buffers and TFDS.
        raise _damaged(folder, error) from error
    for path in files:
        if path.parent != folder:
            raise DataError(f"the data set in {folder} names the file {str(path)!r}, which is not in that folder")
    return builder


def _check_features(folder: pathlib.Path) -> None:
    try:
        described = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        top = json_format.ParseDict(described, feature_pb2.Feature())
        features = list(_walk(top, depth=0))
    except Exception as error:  # Of JSON and protocol buffers.
        raise _damaged(folder, error) from error
    for name, feature, depth in features:
        kind = feature.python_class_name
        if kind not in _NAMES | _ALIASES or feature.WhichOneof("content") == "json_feature":
            known = ", ".join(sorted(kind.__name__ for kind in ADMITTED))
            raise DataError(
                f"the data set in {folder} has a feature {name!r} of the kind {kind!r}, which would be imported and is "
                f"not admitted ({known} are): prepare the data set without it"
            )
        if (kind == _IMAGE and depth > 1) or feature.tensor.encoding == "zlib":
            raise DataError(
                f"the data set in {folder} has the feature {name!r}, pictures in a sequence or a compressed tensor, "
                "which would be decoded with each record, without a bound: prepare it without"
            )
        if not 0 <= feature.class_label.num_classes <= _MOST_CLASSES:
            raise DataError(
                f"the data set in {folder} has {feature.class_label.num_classes} classes of {name!r}, and at most "
                f"{_MOST_CLASSES} are read"
            )
        if "/" in name or "\\" in name or "\0" in name:
            raise DataError(f"the data set in {folder} has a feature {name!r}, and a name may not be a path")


def _walk(feature: feature_pb2.Feature, depth: int, name: str = "") -> Iterator[tuple[str, feature_pb2.Feature, int]]:
    """Every feature with its name and how many others it is in."""
    yield name, feature, depth
    for child_name, child in feature.features_dict.features.items():
        yield from _walk(child, depth + 1, child_name)
    if feature.HasField("sequence"):
        yield from _walk(feature.sequence.feature, depth + 1, name)


def _damaged(folder: pathlib.Path, error: Exception) -> DataError:
    first = str(error).strip().split("\n")[0][:200]
    return DataError(
        f"the description of the data set in {folder} cannot be read ({type(error).__name__}: {first}): prepare it "
        "again, with TFDS 4.9 or newer"
    )
