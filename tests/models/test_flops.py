"""The formula of model operations: against a sum by hand; that it agrees with programs is tested in tests/plan."""

import jax
import jax.numpy as jnp
import pytest

from dfjax.core.errors import DfjaxError
from dfjax.models import flops
from tests import small


def test_the_formula_is_the_sum_over_matrices_and_attention():
    values = {"model.overlap": False, "model.depth": 3, "text.depth": 0, "train.batch_size": 4}
    config, params = small.config(values), small.denoiser(values).abstract_params()
    width, hidden, text, image = 32, 88, 8, 16
    layer = (4 * width**2 + 3 * width * hidden) * (text + image) + 6 * width**2
    once = 2 * width**2 + 2 * width**2
    inputs = 4 * (256 * width + image * 48 * width)
    attention = 12 * width * 3 * (text + image) ** 2
    assert flops.formula(config, params) == 4 * (6 * (3 * layer + once + image * 48 * width) + inputs + attention)


def test_twice_the_batch_is_twice_the_work():
    params = small.denoiser().abstract_params()
    counts = [flops.formula(small.config({"train.batch_size": size}), params) for size in (16, 32)]
    assert counts[1] == 2 * counts[0]


def test_a_kernel_that_no_row_counts_is_refused_by_name():
    params = {"convolution": {"kernel": jax.ShapeDtypeStruct((3, 3), jnp.float32)}}
    with pytest.raises(DfjaxError, match="convolution/kernel"):
        flops.formula(small.config(), params)


def test_utilization_is_one_where_the_peak_is_reached():
    assert flops.utilization(3e12, 1.5, 2e12) == 1
    assert flops.utilization(3e12, 3.0, 2e12) == 0.5
