"""The slices of TPUs and nodes of GPUs that can be rented.

libtpu also compiles for shapes that nobody offers, so they stand here. Sources: https://docs.cloud.google.com/tpu/docs,
v5e and v6e, tables of slice shapes; v5p and v4, configurations: a few small ones, then whole cubes of 4 x 4 x 4
with sides A <= B <= C, on v5p up to 16 x 16 x 24, on v4 within these sides and the Pod's 4096 chips.
"""

import functools
import itertools
import math

from dfjax.parallel import hardware

Shape = tuple[int, ...]

_FLAT: tuple[Shape, ...] = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_SMALL: tuple[Shape, ...] = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
_HIGHEST = (16, 16, 24)
_MOST_CHIPS = {"v4": 4096, "v5p": 6144}
_NODE: tuple[Shape, ...] = ((1,), (2,), (4,), (8,))


@functools.cache
def offered(kind: str) -> tuple[Shape, ...]:
    """Shapes of one slice or node of a kind in ``hardware.DEVICES``, smallest first."""
    device = hardware.DEVICES[kind]
    if device.platform != "tpu":
        return _NODE
    if device.torus_axes == 2:
        return _FLAT
    cubes = (
        shape
        for shape in itertools.combinations_with_replacement(range(4, max(_HIGHEST) + 1, 4), 3)
        if math.prod(shape) <= _MOST_CHIPS[kind] and all(a <= b for a, b in zip(shape, _HIGHEST, strict=True))
    )
    return (*_SMALL, *sorted(cubes, key=lambda shape: (math.prod(shape), shape[::-1])))


def nearest(kind: str, wanted: Shape) -> tuple[Shape, int]:
    """The offered shape of the most similar number of chips, then sides; and how many of it, if one is too small."""
    chips = max(1, math.prod(wanted))

    def distance(shape: Shape) -> tuple[float, float]:
        sides = itertools.zip_longest(sorted(shape, reverse=True), sorted(wanted, reverse=True), fillvalue=1)
        return abs(math.log(math.prod(shape) / chips)), sum(abs(math.log(a / max(1, b))) for a, b in sides)

    shape = min(offered(kind), key=distance)
    return shape, max(1, round(chips / math.prod(shape)))
