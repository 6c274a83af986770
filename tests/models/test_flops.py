"""The formula of model operations: against a sum by hand; that it agrees with programs is tested in tests/plan."""

import jax
import jax.numpy as jnp
import pytest

from dfjax.models import flops
from tests import small
from tests.multidevice.layouts import FEATURES, MMDIT


def _formula(values, examples=1):
    network = small.denoiser(values)
    return flops.formula(network.abstract_params(), network.described, network.work, examples)


def test_the_formula_is_the_sum_over_matrices_and_attention():
    width, hidden, text, image = 32, 88, 8, 16
    layer = (4 * width**2 + 3 * width * hidden) * (text + image) + 6 * width**2
    once = 2 * width**2 + 2 * width**2
    inputs = 4 * (256 * width + image * 48 * width)
    attention = 12 * width * 3 * (text + image) ** 2
    wanted = 6 * (3 * layer + once + image * 48 * width) + inputs + attention
    values = {"model.overlap": False, "model.depth": 3}
    assert _formula(values | {"text.depth": 0}, examples=4) == 4 * wanted
    # A tower's two layers over the text; features, which are data, through one matrix; a layer on the noise level.
    tower = 6 * 2 * (4 * width**2 + 3 * width * hidden) * text + 12 * width * 2 * text**2
    assert _formula(values | {"text.depth": 2}) == wanted + tower
    assert _formula(values | FEATURES) == wanted + 4 * text * 24 * width
    assert _formula(values | {"text.depth": 0, "diffusion.learned_variance": True}) == wanted + 4 * 128


def test_two_streams_have_each_its_own_tokens():
    width, hidden, text, image, depth = 32, 88, 8, 16, 2
    layer = (4 * width**2 + 3 * width * hidden) * (text + image) + 2 * 6 * width**2
    outside = 6 * (4 * width**2 + image * 16 * width) + 4 * (256 * width + image * 16 * width + text * 24 * width)
    attention = 12 * width * depth * (text + image) ** 2
    assert _formula(MMDIT) == 6 * depth * layer + outside + attention


def test_where_something_is_not_said_there_is_no_number():
    network = small.denoiser()
    params = network.abstract_params()
    assert flops.formula(params, network.described, None, 1) is None
    more = params | {"convolution": {"kernel": jax.ShapeDtypeStruct((3, 3), jnp.float32)}}
    assert flops.formula(more, network.described, network.work, 1) is None


def test_utilization_is_one_where_the_peak_is_reached():
    assert flops.utilization(3e12, 1.5, 2e12) == 1
    assert flops.utilization(3e12, 3.0, 2e12) == pytest.approx(0.5)
