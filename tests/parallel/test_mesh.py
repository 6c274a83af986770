"""Meshes: sizes that do not fit are refused with sizes that do."""

import re

import jax
import pytest

from dfjax import config
from dfjax.parallel import mesh
from tests import small


def _make(data=-1, fsdp=1, tensor=1):
    return mesh.make(config.Mesh(data=data, fsdp=fsdp, tensor=tensor), jax.devices()[:1])


def test_what_is_left_goes_to_the_free_axis():
    assert dict(_make().shape) == dict.fromkeys(mesh.AXES, 1)
    assert dict(_make(data=1, tensor=-1).shape) == dict.fromkeys(mesh.AXES, 1)


@pytest.mark.parametrize("sizes", [{"data": 2}, {"fsdp": 3}, {"data": 1, "tensor": 8}])
def test_sizes_that_do_not_make_the_devices_are_refused(sizes):
    with pytest.raises(config.ConfigError, match=r"'mesh'.*does not make 1 devices; try --config\.mesh\.data=-1"):
        _make(**sizes)


@pytest.mark.parametrize("sizes", [{"fsdp": -1}, {"fsdp": 0}])
def test_two_free_axes_or_an_empty_one_are_refused(sizes):
    with pytest.raises(config.ConfigError, match="one size may be -1 and none 0"):
        _make(**sizes)


@pytest.mark.parametrize(("batch", "accumulation"), [(17, 1), (20, 2), (4, 2)])
def test_a_batch_that_the_mesh_cannot_divide_comes_with_the_nearest_that_it_can(batch, accumulation):
    eight = jax.sharding.AbstractMesh((1, 4, 2, 1, 1), mesh.AXES)
    values = {"train.batch_size": batch, "train.accumulation": accumulation}
    with pytest.raises(
        config.ConfigError, match=f"'train.batch_size': {batch} is no multiple of {8 * accumulation}"
    ) as error:
        mesh.check_divides(small.config(values), eight)
    advised = int(re.search(r"train\.batch_size=(\d+)", str(error.value))[1])
    assert abs(advised - batch) <= 8 * accumulation
    mesh.check_divides(small.config(values | {"train.batch_size": advised}), eight)
