"""The validation loss: the same number each time it is asked of the same weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from dfjax.training import validation
from tests import small


def _batches(size, count=10):
    """``count`` records in batches of ``size``, the last one filled up."""
    records = {name: np.asarray(value) for name, value in small.batch(count).items()}
    batches = []
    for start in range(0, count, size):
        batch = {name: value[start : start + size] for name, value in records.items()}
        missing = size - len(batch["image"])
        batch["mask"] = np.pad(np.ones(size - missing, np.float32), (0, missing))
        for name in ("image", "tokens"):
            # What fills a batch up must not count.
            batch[name] = np.concatenate(
                [batch[name], np.full((missing, *batch[name].shape[1:]), 7, batch[name].dtype)]
            )
        batches.append({name: jnp.asarray(value) for name, value in batch.items()})
    return batches


@pytest.fixture(scope="module")
def ask():
    """The validation loss of some weights over batches of a size, by a function compiled once."""
    network = small.network()
    validate = validation.make(network, small.one_device())
    return lambda seed, size: _means(validate(small.params(network, seed), _batches(size)))


def _means(losses):
    return {name: loss.mean for name, loss in losses.items()}


def test_the_same_weights_give_the_same_number(ask):
    first = ask(0, 4)
    assert ask(0, 4) == first
    other = ask(1, 4)
    assert other["validation/loss"] != first["validation/loss"]


def test_the_overall_loss_is_the_mean_over_eight_levels(ask):
    scalars = ask(0, 4)
    by_level = [value for name, value in scalars.items() if "t=" in name]
    assert len(by_level) == 8
    assert scalars["validation/loss"] == pytest.approx(np.mean(by_level), rel=1e-6)


def test_neither_the_batch_size_nor_what_fills_the_last_batch_counts(ask):
    assert ask(0, 5)["validation/loss"] == pytest.approx(ask(0, 4)["validation/loss"], rel=1e-5)


def test_the_error_is_that_over_records():
    network = small.network()
    validate, params = validation.make(network, small.one_device()), small.params(network)
    singles = []
    for row in range(5):
        batches = _batches(5)
        batches[0]["mask"] = jnp.zeros(5).at[row].set(1.0)
        (only,) = (loss for name, loss in validate(params, batches[:1]).items() if name == "validation/loss")
        assert only.stderr is None
        singles.append(only.mean)
    whole = validate(params, _batches(5)[:1])["validation/loss"]
    assert whole.mean == pytest.approx(np.mean(singles), rel=1e-6)
    assert whole.stderr == pytest.approx(np.std(singles, ddof=1) / 5**0.5, rel=1e-5)


def test_levels_are_those_of_a_discrete_process():
    """With two levels, all below the middle are the first, and the others pure noise."""
    values = {"diffusion.discrete_steps": 2}
    network = small.network(values)
    found = _means(validation.make(network, small.one_device())(small.params(network, 0), _batches(5)))
    by_level = [value for name, value in found.items() if "t=" in name]
    assert len(set(by_level[:4])) == len(set(by_level[4:])) == 1
    assert by_level[0] != by_level[4]
