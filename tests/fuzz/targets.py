"""What is fuzzed. A target takes one input and raises where dfjax does anything else than its documents say."""

import base64
import contextlib
import dataclasses
import functools
import json
import pathlib
import pickletools
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from hypothesis import strategies as st

from dfjax import config as config_lib
from dfjax.checkpoint.store import ITEMS, CheckpointError, Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.core import cleaning
from dfjax.data import decoding, pictures, pipeline, sources, transforms
from dfjax.data.errors import BadRecord, DataError
from dfjax.datasets.emoji import EmojiSource
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.inputs.codec import Identity
from dfjax.inputs.conditioning import Tokens
from dfjax.inputs.spec import Inputs
from dfjax.weights import files as weights
from tests import small
from tests.checkpoint.conftest import save
from tests.data import kinds, tiny
from tests.fuzz import inputs, reports
from tests.weights import torch_bytes

_PIXELS = 2**16
TOKENIZER = small.tokenizer(max_tokens=24)
# Files that are large, or cost time as they are, teach a fuzzer little.
_FILES = st.sampled_from(
    [kinds.usable(kind) for kind in kinds.USABLE]
    + [kinds.TURNED()]
    + [kinds.damaged(kind) for kind in kinds.DAMAGED if kind != "text bomb"]
)
PICTURES = inputs.mutated(_FILES, inputs.mend_png)


@dataclasses.dataclass(frozen=True)
class Target:
    """``check`` is called with inputs of ``inputs``; it raises for a fault, and says whether the input was used.

    ``prepare`` makes, once, the files that a target needs.
    """

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], bool]
    prepare: Callable[[], Any] = bool


def _decode(data: bytes) -> bool:
    try:
        image = decoding.decode(data, 16, max_pixels=_PIXELS)
    except BadRecord as error:
        assert str(error)
        return False
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= _PIXELS
    pixels = transforms.fit(image, (16, 16))
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    return True


_FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "text": tfds.features.Text(),
        "concept": tfds.features.Text(),
        "style": tfds.features.Text(),
        "object": tfds.features.Text(),
        "recolourable": tfds.features.Scalar(np.bool_),
    }
)
_GOOD = {"image": kinds.usable("png"), "text": b"fine", "concept": b"", "style": b"", "object": b"", "recolourable": 0}
_STORED = _FEATURES.serialize_example(_GOOD | {"concept": b"red apple", "object": b"apple", "recolourable": 1})
_FIELD = inputs.TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40)
_RECORDS = inputs.mutated(st.just(_STORED)) | st.fixed_dictionaries(
    {
        "image": PICTURES,
        "text": _FIELD,
        "concept": _FIELD,
        "style": _FIELD,
        "object": _FIELD,
        "recolourable": st.booleans(),
    }
)


class _Stored(list):
    """What TFDS reads from disk: dicts, or the bytes of one."""

    def __getitem__(self, index):
        found = super().__getitem__(index)
        skip = {"image": tfds.decode.SkipDecoding()}
        return found if isinstance(found, dict) else _FEATURES.deserialize_example_np(found, decoders=skip)


def _record(stored: bytes | dict[str, Any]) -> bool:
    """A source of a hostile and a good record: each position has an example, and what was bad is named."""
    source = EmojiSource("fuzz/train", _Stored([stored, _GOOD]), "image", "text", (), (), range(2))
    data = config_lib.Data(resolution=8, vary_captions=True, recolour=0.5, flip=True, max_pixels=_PIXELS)
    made = Inputs(Identity(8, 8), Tokens(TOKENIZER))
    examples = pipeline.training_examples(source, made, data, 0)
    plain = pipeline._plain(pictures.Pictures(source, (8, 8), _PIXELS), made, 0)
    found = [examples[0], examples[1], plain]
    for example in found:
        assert (example.row["image"].shape, example.row["image"].dtype) == ((8, 8, 3), np.uint8)
        assert (example.row["tokens"].shape, example.row["tokens"].dtype) == ((24,), np.int32)
        assert {record for record, _ in example.bad} <= {"fuzz/train[0]"}
        assert all(reason and reason.isprintable() for _, reason in example.bad)
        assert example.caption == "fine" or not example.bad
    return not found[-1].bad


def _caption(text: str) -> bool:
    words = cleaning.clean(text)
    assert cleaning.clean(words) == words
    assert len(words) <= cleaning.MAX_CHARACTERS
    ids = TOKENIZER.encode(text)
    assert (ids.shape, ids.dtype) == ((24,), np.int32)
    assert 0 <= ids.min() <= ids.max() < TOKENIZER.vocab_size
    assert TOKENIZER.is_cut(text) in (True, False)
    TOKENIZER.decode(ids)
    return bool(words)


def _captions_to_learn_from(texts: list[str]) -> bool:
    try:
        learned = tokenizer_lib.learn(texts, small.VOCAB, 16)
    except tokenizer_lib.TokenizerError:
        return False
    for text in texts:
        assert learned.encode(text).shape == (16,)
    return True


def _tokenizer_file(model: bytes) -> bool:
    try:
        tokenizer = tokenizer_lib.Tokenizer(model, 8)
    except tokenizer_lib.TokenizerError:
        return False
    for text in ("a red apple", "", "\u00e9\U0001f600"):
        tokenizer.decode(tokenizer.encode(text))
    return True


def _config(written: str) -> bool:
    try:
        config = config_lib.from_json(written)
    except config_lib.ConfigError as error:
        # No larger than a screen, whatever the config holds.
        assert len(str(error)) < 2000
        return False
    assert config_lib.from_json(config.to_json()) == config
    return True


_WHOLE = json.loads(small.config().to_json())
_DEEP = st.integers(1, 100_000).map(lambda depth: '{"data": ' + "[" * depth + "]" * depth + "}")
_CONFIGS = (
    inputs.changed(_WHOLE).map(json.dumps)
    | inputs.VALUES.map(json.dumps)
    | inputs.mutated(st.just(json.dumps(_WHOLE).encode())).map(lambda data: data.decode("utf-8", "replace"))
    | _DEEP
)


@functools.cache
def _room() -> Workdir:
    """A work directory with a checkpoint, whose words a target changes. As if saved before there were checksums."""
    room = Workdir(pathlib.Path(tempfile.mkdtemp(prefix="dfjax-fuzz-")))
    save(room, [10])
    for file in (room.checkpoints / "step_10").iterdir():
        if file.is_file() and not file.name.startswith("_"):
            file.unlink()
    return room


_META = {
    "config": _WHOLE,
    "attempt": 0,
    "position": 160,
    "train_seconds": 1.5,
    "devices": 1,
    "step": 10,
    "versions": {},
}
_TOKENIZER = {"sentencepiece": base64.b64encode(TOKENIZER.model).decode()}


def _json_files(tree: Any) -> st.SearchStrategy[bytes]:
    return inputs.changed(tree).map(lambda value: json.dumps(value).encode()) | inputs.mutated(
        st.just(json.dumps(tree).encode())
    )


def _checkpoint(words: tuple[bytes, bytes]) -> bool:
    """What is said in a checkpoint: its config and the rest of ``meta``, and the tokenizer's file."""
    room = _room()
    for item, data in zip(("meta", "tokenizer"), words, strict=True):
        (room.checkpoints / "step_10" / item / "metadata").write_bytes(data)
    assert set(ITEMS) <= {path.name for path in (room.checkpoints / "step_10").iterdir()}
    used = 0
    with Checkpoints(room.checkpoints) as checkpoints:
        with contextlib.suppress(CheckpointError):
            assert isinstance(checkpoints.meta(10), dict)
            used += 1
        with contextlib.suppress(CheckpointError):
            assert isinstance(checkpoints.config(10), config_lib.Config)
            used += 1
        with contextlib.suppress(CheckpointError, tokenizer_lib.TokenizerError):
            tokenizer_lib.Tokenizer(checkpoints.tokenizer(10), 8)
            used += 1
    return used == 3


@functools.cache
def _data_set() -> tuple[config_lib.Data, pathlib.Path, dict[str, Any], dict[str, Any]]:
    """A data set, its folder and its two descriptions."""
    folder = tempfile.mkdtemp(prefix="dfjax-fuzz-")
    tiny.TinyLabelled(data_dir=folder).download_and_prepare()
    at = pathlib.Path(folder) / "tiny_labelled" / "1.0.0"
    described = [json.loads((at / f"{name}.json").read_text()) for name in ("features", "dataset_info")]
    return config_lib.Data(name="tiny_labelled", dir=folder, resolution=8), at, *described


_SAVED = {"weight": torch_bytes.tensor("0", 12, (3, 4), (4, 1)), "one": torch_bytes.tensor("0", 12, (), (), offset=3)}
_WEIGHTS = [write({"model": _SAVED}, {"0": torch_bytes.NUMBERS}) for write in (torch_bytes.new, torch_bytes.old)]
# Instructions of pickles one after the other, of every kind, with values that they could be about.
_INSTRUCTIONS = st.lists(
    st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes if opcode.arg is None])
    | st.sampled_from([*_SAVED.values(), "weight", 3, -1, 2**70, (), (1, 2), {"x": 1}, [1]]).map(torch_bytes.says)
    | st.binary(max_size=3).map(lambda data: b"q" + data)
    | st.binary(max_size=3).map(lambda data: b"h" + data),
    max_size=12,
).map(lambda parts: torch_bytes.new(torch_bytes.Raw(b"".join(parts)), {"0": torch_bytes.NUMBERS}))


def _weights(data: bytes) -> bool:
    """What a file of weights may be read as: arrays, no more of them than it has bytes for."""
    with tempfile.NamedTemporaryFile(prefix="dfjax-fuzz-") as file:
        file.write(data)
        file.flush()
        try:
            arrays = weights.read(pathlib.Path(file.name))
        except weights.WeightsError as error:
            assert file.name in str(error)
            return False
    assert all(isinstance(name, str) and array.dtype.kind in "fiub" for name, array in arrays.items())
    assert sum(array.size for array in arrays.values()) < 4 * len(data)
    return bool(arrays)


_CLASSES = st.sampled_from(["this.Feature", "tests.fuzz.bait.Feature", "builtins.eval", "os.system", "..x.y", "x"])


@st.composite
def _descriptions(draw) -> tuple[bytes, bytes]:
    _, _, features, info = _data_set()
    if draw(st.booleans()):
        written = json.dumps(features)
        name = draw(st.sampled_from(["FeaturesDict", "Image", "ClassLabel"]))
        module = written[: written.index(f'.{name}"')].rsplit('"', 1)[1]
        return written.replace(f"{module}.{name}", draw(_CLASSES)).encode(), json.dumps(info).encode()
    return draw(_json_files(features)), draw(_json_files(info))


def _description(written: tuple[bytes, bytes]) -> bool:
    data, at, _, _ = _data_set()
    for name, words in zip(("features", "dataset_info"), written, strict=True):
        (at / f"{name}.json").write_bytes(words)
    try:
        source = sources.open_source(data, "train")
        with contextlib.suppress(BadRecord):
            decoding.decode(source[0].image, 8)
        return True
    except DataError:
        return False
    finally:
        assert "this" not in sys.modules, "a description had a module imported"


def clean_up() -> None:
    """Remove what the targets have written."""
    if _room.cache_info().currsize:
        shutil.rmtree(_room().path, ignore_errors=True)
    if _data_set.cache_info().currsize:
        shutil.rmtree(_data_set()[0].dir, ignore_errors=True)


TARGETS = {
    "pictures": Target(PICTURES, _decode),
    "records": Target(_RECORDS, _record),
    "captions": Target(st.text(max_size=200) | inputs.TEXTS | _FIELD.map(lambda b: b.decode("latin-1")), _caption),
    "captions to learn from": Target(st.lists(inputs.TEXTS, max_size=6), _captions_to_learn_from),
    "tokenizer files": Target(inputs.mutated(st.just(TOKENIZER.model)), _tokenizer_file),
    "configs": Target(_CONFIGS, _config),
    "checkpoints": Target(st.tuples(_json_files(_META), _json_files(_TOKENIZER)), _checkpoint, _room),
    "weights": Target(inputs.mutated(st.sampled_from(_WEIGHTS)) | _INSTRUCTIONS, _weights),
    "data set descriptions": Target(_descriptions(), _description, _data_set),
    "files of a report": Target(reports.hostile(), reports.check),
}
