"""Meshes: sizes that do not fit are refused with sizes that do."""

import dataclasses
import math
import re

import jax
import pytest

from dfjax import config
from dfjax.models.inputs import Work
from dfjax.parallel import mesh


def _make(data=-1, fsdp=1, tensor=1):
    return mesh.make(config.Mesh(data=data, fsdp=fsdp, tensor=tensor), jax.devices()[:1])


def test_what_is_left_goes_to_the_free_axis():
    assert dict(_make().shape) == dict.fromkeys(mesh.AXES, 1)
    assert dict(_make(data=1, tensor=-1).shape) == dict.fromkeys(mesh.AXES, 1)


@dataclasses.dataclass(frozen=True)
class Chip:
    """As much of a device as a mesh looks at."""

    id: int
    slice_index: int
    platform: str = "tpu"
    process_index: int = 0


def _chips(chips: int, slices: int = 1) -> list[Chip]:
    return [Chip(number, number * slices // chips) for number in range(chips)]


@pytest.mark.parametrize(
    ("sizes", "chips", "slices", "advice"),
    [
        # More than one free axis, or an empty one: what was asked for beside the default stays free.
        ({"fsdp": -1}, 8, 1, "data=1 fsdp=-1"),
        ({"replica": -1}, 8, 1, "replica=-1 data=1"),
        ({"replica": -1, "fsdp": -1, "tensor": 2}, 8, 2, "replica=2 data=1 fsdp=-1 tensor=2"),
        ({"data": 0}, 8, 1, "data=-1"),
        ({"data": 0, "fsdp": -1}, 8, 1, "data=1 fsdp=-1"),
        ({"fsdp": 0, "tensor": 2}, 8, 1, "data=-1 fsdp=1 tensor=2"),
        # Products that do not match.
        ({"data": 3}, 4, 1, "data=-1"),
        ({"data": 3, "fsdp": 2, "tensor": 2}, 16, 1, "data=-1 fsdp=2 tensor=2"),
        ({"data": 1, "fsdp": 256, "tensor": 2}, 16, 1, "data=-1 fsdp=8 tensor=2"),
        ({"fsdp": 8, "context": 2}, 8, 1, "data=-1 fsdp=4 context=2"),
        ({"data": 1, "fsdp": -1, "tensor": 3}, 4, 1, "data=1 fsdp=-1 tensor=4"),
        # Replicas that do not divide over the slices.
        ({"data": 1, "fsdp": -1}, 8, 2, "replica=2 data=1 fsdp=-1"),
        ({"replica": -1, "data": 1, "fsdp": 8}, 8, 2, "replica=-1 data=1 fsdp=4"),
    ],
)
def test_sizes_that_make_no_mesh_are_refused_with_the_nearest_that_do(sizes, chips, slices, advice):
    with pytest.raises(config.ConfigError, match="'mesh") as error:
        mesh.make(config.Mesh(**sizes), _chips(chips, slices))
    advised = str(error.value).split("; try ")[1]
    assert advised.replace("--config.mesh.", "") == advice
    # The advice, taken, works.
    taken = {axis: int(size) for axis, size in (flag.split("=") for flag in advice.split())}
    shape = mesh.make(config.Mesh(**(sizes | taken)), _chips(chips, slices)).shape
    assert math.prod(shape.values()) == chips


@pytest.mark.parametrize(("batch", "accumulation"), [(17, 1), (20, 2), (4, 2)])
def test_a_batch_that_the_mesh_cannot_divide_comes_with_the_nearest_that_it_can(batch, accumulation):
    eight = jax.sharding.AbstractMesh((1, 4, 2, 1, 1), mesh.AXES)
    with pytest.raises(
        config.ConfigError, match=f"'train.batch_size': {batch} is no multiple of {8 * accumulation}"
    ) as error:
        mesh.check_divides(eight, None, batch, accumulation)
    advised = int(re.search(r"train\.batch_size=(\d+)", str(error.value))[1])
    assert abs(advised - batch) <= 8 * accumulation
    mesh.check_divides(eight, None, advised, accumulation)


WORK = Work(text=8, image=16, heads=6, head_width=8, attention=0)


@pytest.mark.parametrize(
    ("shape", "work", "words"),
    [
        ((1, 1, 1, 4, 1), WORK, r"'mesh\.tensor': 4 does not divide model\.heads 6; try --config\.model\.heads=8"),
        ((1, 1, 1, 1, 3), WORK, r"'mesh\.context': 3 does not divide the 8 text tokens; try --config\.mesh\.context=2"),
        ((1, 1, 1, 1, 8), dataclasses.replace(WORK, image=4), r"the 12 tokens of text and image; .*context=4"),
        ((1, 1, 1, 1, 8), dataclasses.replace(WORK, image=4, apart=True), r"the 4 image tokens; .*context=4"),
        ((1, 1, 1, 1, 2), None, r"tokens of which the network does not say how many it has; .*context=1"),
    ],
)
def test_heads_and_tokens_that_an_axis_does_not_divide_are_refused(shape, work, words):
    with pytest.raises(config.ConfigError, match=words):
        mesh.check_divides(jax.sharding.AbstractMesh(shape, mesh.AXES), work, 16)


def test_heads_and_tokens_that_divide_are_let_pass():
    mesh.check_divides(jax.sharding.AbstractMesh((1, 1, 1, 3, 8), mesh.AXES), WORK, 16)
    mesh.check_divides(jax.sharding.AbstractMesh((1, 1, 1, 3, 1), mesh.AXES), None, 16)
