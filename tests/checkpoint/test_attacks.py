"""A checkpoint is data: what is planted in it is neither run nor followed, and comes out as a CheckpointError."""

import json
import pickle

import pytest

from dfjax.checkpoint import checksums
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from tests.checkpoint.conftest import arrays, shapes


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def _plant(room, name, data):
    """Put a file into the newest checkpoint, and checksums that vouch for it: an attacker makes them too."""
    folder = room.checkpoints / "step_20"
    (folder / name).write_bytes(data)
    checksums.write(folder)


def _read_all(room):
    with Checkpoints(room.checkpoints) as checkpoints:
        checkpoints.config(20)
        checkpoints.tokenizer(20)
        checkpoints.array_shapes(20, "params")
        return checkpoints.arrays(20, shapes(arrays(0)))


def test_the_way_to_plant_is_sound(room):
    _plant(room, "meta/metadata", (room.checkpoints / "step_20/meta/metadata").read_bytes())
    assert _read_all(room)


@pytest.mark.parametrize(
    "name",
    [
        "meta/metadata",
        "tokenizer/metadata",
        "params/_METADATA",
        "params/manifest.ocdbt",
    ],
)
def test_a_pickle_in_any_place_is_not_unpickled(name, room):
    made = room.path / "made"
    bomb = pickle.dumps(_Bomb(str(made)))
    pickle.loads(bomb).close()
    assert made.exists()
    made.unlink()
    _plant(room, name, bomb)
    with pytest.raises(CheckpointError, match="step_20 is damaged"):
        _read_all(room)
    assert not made.exists()


def test_handlers_that_a_checkpoint_names_are_not_imported(room):
    path = room.checkpoints / "step_20" / "_CHECKPOINT_METADATA"
    words = json.loads(path.read_bytes())
    (room.path / "evil.py").write_text(f"open({str(room.path / 'made')!r}, 'w')")
    words["item_handlers"] = dict.fromkeys(words["item_handlers"], "evil.Handler")
    path.write_text(json.dumps(words))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(room.path))
        assert _read_all(room)
    assert not (room.path / "made").exists()


@pytest.mark.parametrize("kind", ["evil.Handler", "np.ndarray", "string", "pickle", 7, None, ["jax.Array"]])
def test_types_that_a_checkpoint_gives_its_leaves_are_not_trusted(kind, room):
    path = room.checkpoints / "step_20" / "params" / "_METADATA"
    words = json.loads(path.read_bytes())
    for leaf in words["tree_metadata"].values():
        leaf["value_metadata"]["value_type"] = kind
    _plant(room, "params/_METADATA", json.dumps(words).encode())
    try:
        found = _read_all(room)
    except CheckpointError:
        return
    # What comes is what was asked for.
    assert found["params"]["a"]["kernel"].dtype == "float32"
    assert float(found["params"]["a"]["kernel"][0, 0]) == 20.0


@pytest.mark.parametrize("away", ["../../../../victim", "/etc"])
def test_names_of_arrays_cannot_leave_the_folder(away, room):
    path = room.checkpoints / "step_20" / "params" / "_METADATA"
    text = path.read_text().replace('"kernel"', json.dumps(away)).replace("'kernel'", f"'{away}'")
    _plant(room, "params/_METADATA", text.encode())
    with pytest.raises(CheckpointError):
        _read_all(room)


@pytest.mark.parametrize(
    "meta",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[]",
        b"7",
        b"null",
        b'"words"',
        b"\xff\xfe",
        b"",
        b'{"config": []}',
        b'{"config": {"train": 3}}',
        b'{"config": {"train": {"seed": {}}}}',
        b'{"config": {"__class__": {"x": 1}}}',
        b'{"config": {}, "position": "7"}',
        b'{"config": {}, "attempt": 1e400}',
        b'{"config": {}, "attempt": true}',
        b'{"config": {}, "versions": [1]}',
        b'{"config": {}, "train_seconds": null}',
    ],
    ids=lambda meta: str(meta[:32]),
)
def test_hostile_words_are_refused_in_words(meta, room):
    _plant(room, "meta/metadata", meta)
    with pytest.raises(CheckpointError, match="step_20"):
        _read_all(room)


@pytest.mark.parametrize("model", ["[]", '{"sentencepiece": 7}', '{"sentencepiece": "$$$"}', "{}"])
def test_a_hostile_tokenizer_is_refused_in_words(model, room):
    _plant(room, "tokenizer/metadata", model.encode())
    with Checkpoints(room.checkpoints) as checkpoints, pytest.raises(CheckpointError, match="step_20 is damaged"):
        checkpoints.tokenizer(20)
