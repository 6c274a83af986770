"""Which way a metric is better, and which checkpoint is best by it."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from dfjax.report.measured import Point

HEADLINE = "kid_efficientnet_lite0"
FALLBACK = "validation/loss"

LOWER, HIGHER = "lower", "higher"
# The first that is found in a name decides. None: neither way is better by itself.
_DIRECTIONS: tuple[tuple[str, str | None], ...] = (
    (r"nearest_training|near_copies|distance_wrong|_chance", None),
    (r"(rank|top|recall_?at|recall@|hits?)_?@?\d+", HIGHER),
    (r"reciprocal|mrr", HIGHER),
    (r"(^|[/_])(precision|recall|density|coverage)", HIGHER),
    (r"accuracy|similarity|clip_?score|(^|_)win|images_per_second|mfu$", HIGHER),
    (r"(^|[/_])(loss|kid|frechet|fid|lpips|rank|ratio|distance|step_seconds|bad_records|skipped_steps)", LOWER),
)
# Two values that differ by less than so many standard errors of their difference are not told apart.
_ERRORS = 2.0


def direction(name: str, said: Mapping[str, str] | None = None) -> str | None:
    """``lower`` or ``higher`` is better; None where neither is. ``said``: by name, what evaluators declare."""
    if said and name in said:
        return said[name] if said[name] in (LOWER, HIGHER) else None
    return next((way for pattern, way in _DIRECTIONS if re.search(pattern, name)), None)


@dataclasses.dataclass(frozen=True)
class Best:
    """The best checkpoint; ``equals``: steps of others that its error does not tell from it."""

    point: Point
    equals: tuple[int, ...] = ()


def find(points: Sequence[Point], way: str | None) -> Best | None:
    """The best of points, the earliest of equals; None where none is finite, or neither way is better."""
    finite = [point for point in points if math.isfinite(point.value)]
    if not finite or way is None:
        return None
    sign = 1.0 if way == LOWER else -1.0
    best = min(finite, key=lambda point: (sign * point.value, point.step))
    return Best(best, tuple(point.step for point in finite if point != best and _alike(point, best)))


def _alike(one: Point, other: Point) -> bool:
    if one.stderr is None or other.stderr is None:
        return False
    return abs(one.value - other.value) < _ERRORS * math.hypot(one.stderr, other.stderr)
