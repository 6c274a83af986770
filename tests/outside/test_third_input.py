"""A third kind of input, defined here: four channels and a class vector. It trains, validates, draws and plans."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dfjax
from dfjax.core import registry
from dfjax.data.source import Base, Record
from dfjax.plan import build
from tests import small

CLASSES = 5
KINDS = {"data.codec": "four_channels", "text.conditioner": "class_vector", "model.name": "by_class"}
VALUES = KINDS | {
    "data.name": "vectors",
    "data.validation_split": "test",
    "train.num_steps": 2,
    "train.batch_size": 4,
    "train.log_every_steps": 1,
    "train.validate_every_steps": 1,
    "optim.warmup_steps": 1,
}


@dataclasses.dataclass(frozen=True)
class FourChannels(dfjax.Codec):
    """Floats, given as a column of the source."""

    shape = (8, 8, 4)

    @property
    def spec(self):
        return {"field": jax.ShapeDtypeStruct(self.shape, jnp.float32)}

    def encode(self, batch, keys=None):
        return batch["field"]

    def decode(self, clean):
        return jnp.clip(127.5 * (clean + 1), 0, 255).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True)
class ClassVector(dfjax.Conditioner):
    """A vector over classes; in words, the class's number."""

    @property
    def spec(self):
        return {"class_vector": jax.ShapeDtypeStruct((CLASSES,), jnp.float32)}

    def row(self, caption, columns):
        return {} if "class_vector" in columns else {"class_vector": np.eye(CLASSES, dtype=np.float32)[int(caption)]}

    def condition(self, batch):
        return batch["class_vector"]

    def null(self):
        return np.zeros(CLASSES, np.float32)


class ByClass(nnx.Module):
    """One layer on each place, moved by the class."""

    def __init__(self, model, inputs, layout, rngs):
        self.told = nnx.Linear(inputs.caption.shape[0], inputs.shape[-1], rngs=rngs)
        self.mixed = nnx.Linear(inputs.shape[-1] + 1, inputs.shape[-1], rngs=rngs)

    def __call__(self, z, t, caption):
        level = jnp.broadcast_to(t[:, None, None, None], (*z.shape[:3], 1))
        return self.mixed(jnp.concatenate([z, level], axis=-1)) + self.told(caption)[:, None, None]


class Vectors(Base):
    """Records without pictures."""

    columns = {  # noqa: RUF012
        "field": jax.ShapeDtypeStruct((8, 8, 4), jnp.float32),
        "class_vector": jax.ShapeDtypeStruct((CLASSES,), jnp.float32),
    }

    def __len__(self):
        return 11

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        columns = {"field": rng.normal(size=(8, 8, 4)).astype(np.float32)}
        return Record(self.id(index), None, str(index % CLASSES), columns=columns | {"class_vector": _one_hot(index)})

    def identity(self):
        return {"split": "vectors", "records": "11"}


def _one_hot(index):
    return np.eye(CLASSES, dtype=np.float32)[index % CLASSES]


@pytest.fixture(autouse=True)
def _registered():
    made = {
        registry.CODECS: ("four_channels", lambda config: FourChannels()),
        registry.CONDITIONERS: ("class_vector", lambda config, saved, captions: ClassVector()),
        registry.DENOISERS: ("by_class", ByClass),
        registry.SOURCES: ("vectors", lambda data, split: Vectors()),
    }
    for kind, (name, thing) in made.items():
        kind.register(name, thing)


def test_it_trains_validates_and_draws(tmp_path):
    run = dfjax.train(small.config(VALUES | {"sample.prompts": ("3",)}), tmp_path / "run")
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"validation/loss"' in metrics
    assert '"train/loss"' in metrics
    drawn = run.sample(["3", "1"], guidance=2.0)
    assert drawn.shape == (2, 8, 8, 4)
    assert (drawn[0] != drawn[1]).any()
    estimate = run.denoise(np.ones((1, 8, 8, 4)), 0.5, "2")
    assert estimate.shape == (1, 8, 8, 4)


def test_it_plans():
    traced = build.trace(small.config(VALUES), jax.devices()[:1])
    arguments = jax.tree.leaves(traced.trace.in_avals) if hasattr(traced.trace, "in_avals") else traced.jaxpr.in_avals
    assert (4, 8, 8, 4) in {tuple(leaf.shape) for leaf in arguments}
    assert (4, CLASSES) in {tuple(leaf.shape) for leaf in arguments}
