"""A source of one's own: registered by a program, with columns that reach the batch beside picture and caption."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfjax import config
from dfjax.core.registry import SOURCES
from dfjax.data import pipeline, sources
from dfjax.data.errors import BadRecord, DataError
from dfjax.data.source import Base, Record
from dfjax.data.sources.pairs import of_pairs
from dfjax.inputs.codec import Latents
from dfjax.inputs.spec import Inputs
from tests.data import kinds, tiny

COUNT, BATCH = 10, 4
DATA = config.Data(name="scored", resolution=8, workers=0)


@dataclasses.dataclass(frozen=True)
class Scored(Base):
    """Grey pictures whose level, caption, score and class tell their number; some are ``bad``."""

    bad: tuple[int, ...] = ()
    columns = {  # noqa: RUF012
        "score": jax.ShapeDtypeStruct((), jnp.float32),
        "class_vector": jax.ShapeDtypeStruct((8,), jnp.float32),
    }

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        if index in self.bad:
            raise BadRecord("torn")
        columns = {"score": np.float32(index / 2), "class_vector": np.full(8, index, np.float32)}
        return Record(self.id(index), np.full((9, 9, 3), index, np.uint8), f"number {index}", columns=columns)

    def identity(self):
        return {"records": str(COUNT)}


@pytest.fixture
def registered():
    SOURCES.register("scored", lambda data, split: Scored())
    yield
    SOURCES.forget()


def _batches(source, count=4, made=None, **options):
    data = dataclasses.replace(DATA, **options)
    made = made or tiny.inputs(source)
    with pipeline.training_batches(source, made, data, seed=1, batch_size=BATCH, sharding=tiny.sharding()) as batches:
        return [next(batches) for _ in range(count)]


def test_what_a_program_registers_is_opened_by_its_name(registered):
    source = sources.open_source(DATA, "train")
    assert (len(source), source.id(3)) == (COUNT, "Scored[3]")
    with pytest.raises(DataError, match="nothing to build of scored"):
        sources.build(DATA)


def test_an_empty_source_is_refused():
    SOURCES.register("scored", lambda data, split: [])
    try:
        with pytest.raises(DataError, match="split 'train' of scored is empty"):
            sources.open_source(DATA, "train")
    finally:
        SOURCES.forget()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_columns_reach_the_batch_with_their_rows(registered, workers):
    for batch in _batches(sources.open_source(DATA, "train"), workers=workers):
        number = np.asarray(batch.arrays["image"])[:, 0, 0, 0].astype(np.float32)
        np.testing.assert_array_equal(batch.arrays["score"], number / 2)
        np.testing.assert_array_equal(batch.arrays["class_vector"], number[:, None] * np.ones(8))
        assert {name: (each.shape, each.dtype) for name, each in batch.arrays.items()} == {
            name: (each.shape, each.dtype) for name, each in tiny.inputs(Scored()).batch(BATCH).items()
        }
        assert batch.arrays["class_vector"].sharding.is_equivalent_to(batch.arrays["image"].sharding, 4)


def test_a_record_that_replaces_a_bad_one_brings_its_own_columns():
    batches = _batches(Scored(bad=(2, 3, 7)), 10)
    numbers = np.concatenate([np.asarray(batch.arrays["image"])[:, 0, 0, 0] for batch in batches])
    scores = np.concatenate([batch.arrays["score"] for batch in batches])
    np.testing.assert_array_equal(scores, numbers / 2)
    assert set(numbers) == set(range(COUNT)) - {2, 3, 7}
    assert {pair for batch in batches for pair in batch.bad} == {(f"Scored[{i}]", "torn") for i in (2, 3, 7)}


def test_validation_pads_columns_too():
    source = Scored()
    options = {"batch_size": 4, "limit": COUNT, "sharding": tiny.sharding()}
    *_, last = pipeline.fixed_batches(source, tiny.inputs(source), DATA, **options)
    np.testing.assert_array_equal(last.arrays["mask"], [1, 1, 0, 0])
    np.testing.assert_array_equal(last.arrays["score"], [4, 4.5, 0, 0])


def test_a_codec_without_pictures_has_none_decoded():
    class Encoded(Scored):
        columns = {"latent": jax.ShapeDtypeStruct((2, 2, 4), jnp.bfloat16)}  # noqa: RUF012

        def __getitem__(self, index):
            return Record(self.id(index), b"no picture", "x", columns={"latent": np.full((2, 2, 4), index)})

    source = Encoded()
    made = Inputs(Latents((2, 2, 4)), tiny.inputs().conditioner, source.columns)
    (batch,) = _batches(source, 1, made, flip=True)
    assert batch.arrays["latent"].dtype == jnp.bfloat16
    assert set(batch.arrays) == {"latent", "tokens"}
    assert not batch.bad


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("mask", jax.ShapeDtypeStruct((), jnp.float32), "'mask', which validation needs: rename it"),
        ("tokens", jax.ShapeDtypeStruct((3,), jnp.int32), r"'tokens', .* int32 \(22,\), and the column int32 \(3,\)"),
        ("image", jax.ShapeDtypeStruct((8, 8, 3), jnp.float32), "'image', .*rename it"),
    ],
)
def test_a_column_whose_name_is_taken_is_refused(name, column, said):
    made = dataclasses.replace(tiny.inputs(), columns={name: column})
    with pytest.raises(DataError, match=said):
        _batches(Scored(), 1, made)
    with pytest.raises(DataError, match=said):
        next(pipeline.fixed_batches(Scored(), made, DATA, batch_size=4, limit=4, sharding=tiny.sharding()))


def _pictures(tmp_path):
    """The same picture in every form that a pair may have it in."""
    encoded = kinds.encode(kinds.plain())
    path = tmp_path / "x.png"
    path.write_bytes(encoded)
    return [np.asarray(kinds.plain()), kinds.plain(), kinds.plain("RGBA", (*kinds.RED, 255)), encoded, path, str(path)]


def test_pairs_of_picture_and_caption_are_a_source(tmp_path):
    source = of_pairs([(picture, "a red panda") for picture in _pictures(tmp_path)], name="mine/train")
    assert (len(source), source.id(1), source[0].text) == (6, "mine/train[1]", "a red panda")
    for batch in _batches(source, 3):
        assert np.unique(np.asarray(batch.arrays["image"]).reshape(-1, 3), axis=0).tolist() == [list(kinds.RED)]
        assert not batch.bad


def test_columns_of_pairs_are_32_bits_and_alike():
    grey = np.zeros((8, 8), np.uint8)
    source = of_pairs([(grey, "x", {"score": 0.5, "kind": 3}), (grey, "y", {"score": 1.5, "kind": 4})])
    assert {name: (each.shape, each.dtype) for name, each in source.columns.items()} == {
        "score": ((), np.float32),
        "kind": ((), np.int32),
    }
    (batch,) = _batches(source, 1)
    assert set(np.asarray(batch.arrays["score"]).tolist()) == {0.5, 1.5}
    with pytest.raises(DataError, match=r"pair 1 of 'pairs' are not those of the first: score float32 \(\)"):
        of_pairs([(grey, "x", {"score": 0.5}), (grey, "y")])
    with pytest.raises(DataError, match="has none"):
        of_pairs([])


def test_the_identity_of_pairs_is_their_content(tmp_path):
    def identity(picture, caption="x", score=1.0):
        return of_pairs([(picture, caption, {"score": score})]).identity()

    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    same = [identity(pixels), identity(np.asfortranarray(pixels)), identity(Image.fromarray(pixels))]
    assert same[0] == same[1] == same[2]
    others = [identity(pixels[::-1]), identity(pixels, "y"), identity(pixels, score=2.0), identity(path)]
    assert len({each["content"] for each in (same[0], *others)}) == 5
    kept = others[-1]
    Image.fromarray(pixels[::-1]).save(path)
    assert identity(path) != kept


def test_a_pair_whose_file_is_gone_is_a_bad_record(tmp_path):
    source = of_pairs([(tmp_path / "gone.png", "x"), (np.zeros((8, 8), np.uint8), " ")])
    for index, said in enumerate(("No such file", "caption is empty")):
        with pytest.raises(BadRecord, match=said):
            source[index]
