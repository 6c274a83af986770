"""One stream over a frozen encoder's features, and what each network makes of its inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dfjax.core.errors import ConfigError
from dfjax.inputs import network as network_lib
from dfjax.models import mmdit, transformer
from dfjax.models.inputs import Features, NetworkInputs, Work
from dfjax.models.layout import ONE_DEVICE
from tests import small
from tests.multidevice.layouts import FEATURES

IDS = NetworkInputs((16, 16, 3), jax.ShapeDtypeStruct((8,), jnp.int32), 300)


def _caption(rows: int = 2, real: int = 5, fill: float = 0.0) -> Features:
    """Features of ``real`` tokens, the others padding that holds ``fill``."""
    rng = np.random.default_rng(0)
    mask = np.broadcast_to(np.arange(8) < real, (rows, 8))
    return Features(jnp.asarray(np.where(mask[..., None], rng.normal(size=(rows, 8, 24)), fill)), jnp.asarray(mask))


def _apply(caption: Features, side: int = 16):
    network = small.denoiser(FEATURES)
    z = jnp.asarray(np.random.default_rng(1).normal(size=(2, side, side, 3)), jnp.float32)
    return network.apply(small.params(network), z, jnp.array([0.2, 0.7]), caption)


def test_features_stand_for_the_text_tower():
    names = set(small.denoiser(FEATURES).abstract_params())
    assert names == set(small.denoiser().abstract_params()) - {"text"} | {"text_in"}


def test_a_caption_changes_the_picture_and_its_padding_does_not():
    first = _apply(_caption())
    assert first.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(_apply(_caption(fill=7.0)), first, atol=1e-5)
    assert float(jnp.abs(_apply(_caption(real=4)) - first).max()) > 1e-3


def test_the_size_of_a_picture_is_that_of_the_call():
    assert _apply(_caption(), side=24).shape == (2, 24, 24, 3)


def test_two_streams_take_no_token_ids():
    with pytest.raises(ConfigError, match=r"'model\.name': 'mmdit' takes a frozen encoder's features"):
        nnx.eval_shape(lambda: mmdit.build(small.config().model, IDS, ONE_DEVICE, nnx.Rngs(0)))


def test_the_work_is_counted_in_tokens():
    model = network_lib.sizes(small.config({"text.depth": 3}))
    wanted = {"text": 8, "image": 16, "heads": 2, "head_width": 16}
    attention = 32 * 2 * 24**2
    features = NetworkInputs((16, 16, 3), jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], _caption())))
    assert transformer.work(model, IDS) == Work(attention=attention + 32 * 3 * 8**2, **wanted)
    assert transformer.work(model, features) == Work(attention=attention, **wanted)
    assert mmdit.work(model, features) == Work(attention=attention, apart=True, **wanted)
    wide = NetworkInputs((16, 32, 3), IDS.caption, 300)
    assert transformer.work(model, wide).image == 32
