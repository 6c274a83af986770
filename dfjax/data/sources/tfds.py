"""Random access to the records of any prepared TFDS data set that has a picture and a text or a label."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from dfjax import config
from dfjax.core import cleaning
from dfjax.data import folders
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import Base, Record
from dfjax.data.stored import Stored


@dataclasses.dataclass(frozen=True)
class TfdsSource(Base):
    """A split of a data set, or one category of it. Picklable; ``source[i]`` reads one record from disk.

    Attributes:
      name: of data set and split, as in "emoji_captions/train".
      stored: TFDS's data source, with pictures left encoded.
      image_key, text_key: the features that hold picture and caption.
      label_names, category_names: of a class-label feature, by number; empty if it is a text.
      indices: the positions in ``stored`` that are used.
      version: of the data set.
    """

    name: str
    stored: Sequence[Any]
    image_key: str
    text_key: str
    label_names: tuple[str, ...]
    category_names: tuple[str, ...]
    indices: Sequence[int]
    version: str = ""

    def __len__(self) -> int:
        return len(self.indices)

    def identity(self) -> dict[str, str]:
        """What decides which record is the one of an index, in words: a run may go on only where they are the same."""
        chosen = hashlib.sha256(repr(self.indices).encode()).hexdigest()[:16]
        return {"split": self.name, "version": self.version, "records": str(len(self)), "chosen": chosen}

    def id(self, index: int) -> str:
        """The record's name, which needs no reading."""
        return f"{self.name}[{self.indices[index]}]"

    def __getitem__(self, index: int) -> Record:
        """Raises BadRecord if the record cannot be read, or has no caption; DataError if its storage fails for good."""
        return self.record(self.id(index), self._features(index))

    def record(self, name: str, features: Mapping[str, Any]) -> Record:
        """The record of this name out of its features; a data set with more of them than most overrides this."""
        image, text = features[self.image_key], named(features[self.text_key], self.label_names)
        if image is None:
            raise BadRecord("it has no picture")
        if not text.strip("_"):
            raise BadRecord("its caption is empty")
        return Record(name, bytes(image), text, bool(self.label_names), self._category(features))

    def category(self, index: int) -> str | None:
        """The record's category; empty if it has none, None if it cannot be read."""
        try:
            return self._category(self._features(index))
        except BadRecord:
            return None

    def _category(self, features: Mapping[str, Any]) -> str:
        return named(features.get("category", ""), self.category_names)

    def _features(self, index: int) -> Mapping[str, Any]:
        try:
            return self.stored[self.indices[index]]
        except DataError:
            raise
        except Exception as error:  # Of ArrayRecord, protocol buffers and TFDS.
            raise BadRecord(f"it cannot be read ({type(error).__name__}: {error})") from error


def open_source(data: config.Data, split: str, kind: type[TfdsSource] = TfdsSource, advice: str = "") -> TfdsSource:
    """Open a split of the prepared TFDS data set that ``data`` describes. Touches no network.

    Args:
      kind: of source to open it as. advice: how it can be prepared, where not by ``tfds build``.

    Raises:
      DataError: the data set is not prepared, or has no such split, feature or category.
    """
    builder = open_builder(data, advice)
    known = list(builder.info.splits)
    if split.split("[")[0] not in known:
        raise DataError(f"{data.name} has no split {split!r}; it has {', '.join(known)}")
    image_key, text_key = find_features(builder.info.features, data)
    features = dict(builder.info.features.items())
    stored = Stored(_data_source(builder, split))
    source = kind(
        name=f"{data.name}/{split}",
        stored=stored,
        image_key=image_key,
        text_key=text_key,
        label_names=_names(features[text_key]),
        category_names=_names(features.get("category")),
        indices=range(len(stored)),
        version=str(builder.info.version),
    )
    return dataclasses.replace(source, indices=_in_category(source, data)) if data.category else source


def data_dir(data: config.Data) -> pathlib.Path:
    """The folder of prepared data sets: data.dir, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return pathlib.Path(data.dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def find_features(features: tfds.features.FeaturesDict, data: config.Data) -> tuple[str, str]:
    """The keys of the picture and of the caption: those that ``data`` names, else the only ones there are.

    Raises:
      DataError: there is none, or there are several and none of them is called "text" or "caption".
    """
    images = [key for key, feature in sorted(features.items()) if isinstance(feature, tfds.features.Image)]
    spoken = tfds.features.Text | tfds.features.ClassLabel
    texts = [key for key, feature in sorted(features.items()) if isinstance(feature, spoken)]
    # An EmojiCaptions record has many texts, of which one is the caption; most captioned sets use these names.
    usual = [key for key in texts if key in ("text", "caption")]
    image_key = _only("data.image_key", data.image_key, images, ["image"] if "image" in images else [], data.name)
    return image_key, _only("data.text_key", data.text_key, texts, usual, data.name)


def _only(key: str, wanted: str, candidates: list[str], usual: list[str], name: str) -> str:
    if wanted and wanted not in candidates:
        raise DataError(f"{name} has no such feature: {key}={wanted!r}; it can be {_listed(candidates)}")
    found = [wanted] if wanted else candidates if len(candidates) == 1 else usual
    if len(found) != 1:
        raise DataError(f"cannot tell which feature of {name} to use: set {key} to {_listed(candidates)}")
    return found[0]


def _listed(names: list[str]) -> str:
    return " or ".join(names) if names else "nothing: there is no feature of that kind"


def _parts(name: str) -> tuple[str, str, str]:
    """("mnist", "", "3.0.1") of "mnist:3.0.1", ("a", "b", "") of "a/b"."""
    match = re.fullmatch(r"(\w+)(?:/(\w[\w.+-]*))?(?::([\d.]+))?", name)
    if not match:
        raise DataError(f"data.name must read `name`, `name/config` or either with `:version`, not {name!r}")
    return match[1], match[2] or "", match[3] or ""


def open_builder(data: config.Data, advice: str = "") -> tfds.core.DatasetBuilder:
    """The data set as its files describe it. TFDS's own look-up by name asks the network first, for minutes.

    Raises:
      DataError: it is not prepared, or comes in several configs. ``advice``: as for :func:`open_source`.
    """
    name, variant, wanted = _parts(data.name)
    folder = data_dir(data) / name / variant
    versions = {path.parent.name: path.parent for path in folder.glob(f"{wanted or '*'}/dataset_info.json")}
    versions = {tfds.core.Version(v): path for v, path in versions.items() if tfds.core.Version.is_valid(v)}
    if not versions:
        others = sorted(path.name for path in folder.glob("*") if any(path.glob("*/dataset_info.json")))
        if others and not variant:
            raise DataError(f"{name} comes in several configs: set data.name to {name}/ and one of {', '.join(others)}")
        usual = f"prepare it with `tfds build {name} --file_format=array_record --data_dir=DIR` and set data.dir to DIR"
        raise DataError(f"data set {data.name!r} is not in {data_dir(data)}; {advice or usual}")
    return folders.open_builder(versions[max(versions)])


def _data_source(builder: tfds.core.DatasetBuilder, split: str) -> Sequence[Any]:
    # Pictures that are no part of training would be decoded with each record, without a bound.
    features = builder.info.features.items()
    pictures = [key for key, feature in features if isinstance(feature, tfds.features.Image)]
    try:
        return builder.as_data_source(split=split, decoders={key: tfds.decode.SkipDecoding() for key in pictures})
    except ValueError as error:
        raise DataError(
            f"cannot read split {split!r}; write it as 'train' or 'train[:90%]' or 'train[10:20]'"
        ) from error
    except NotImplementedError as error:
        raise DataError(
            f"{builder.info.full_name} is stored as {builder.info.file_format.value}, which cannot be read at random; "
            f"prepare it again with --file_format=array_record"
        ) from error


def _in_category(source: TfdsSource, data: config.Data) -> tuple[int, ...]:
    """Indices of the records of data.category. Reads them all once: 10,000 in a second.

    Those that cannot be read are among them. One of this category that is damaged later so keeps its place, where it is
    replaced and listed as any bad record is.
    """
    categories = [source.category(index) for index in range(len(source))]
    known = {name for name in categories if name is not None}
    if not known:
        raise DataError(f"no record of {source.name} can be read: its files are damaged; prepare the data set again")
    if known == {""}:
        raise DataError(f"{data.name} has no `category` feature: leave data.category empty")
    if data.category not in known:
        words = ", ".join(sorted(filter(None, known)))
        raise DataError(f"split {source.name} has nothing in data.category={data.category!r}; it has {words}")
    return tuple(index for index, name in enumerate(categories) if name in (data.category, None))


def _names(feature: Any) -> tuple[str, ...]:
    return tuple(feature.names) if isinstance(feature, tfds.features.ClassLabel) else ()


def named(value: Any, names: tuple[str, ...] = ()) -> str:
    """A text, cleaned, or the name of a class; empty where there is none, or the number -1 for "no label"."""
    if value is None:
        return ""
    if names:
        return cleaning.clean(names[value]) if 0 <= value < len(names) else ""
    try:
        return cleaning.clean(value.decode("utf-8") if isinstance(value, bytes) else str(value))
    except UnicodeDecodeError as error:
        raise BadRecord("its caption is no UTF-8") from error
