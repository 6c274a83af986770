"""Floating-point operations that a program executes, counted in its jaxpr.

The compiler's own count takes the body of a loop once and sees nothing of a Pallas kernel; here a scan counts as often
as it runs, a kernel's body once for each point of its grid, and the body of a ``shard_map`` once for each device. A
product of [m, k] and [k, n] is 2 m n k operations. Products and convolutions count, all else counts as nothing.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from dfjax.core.errors import DfjaxError


class FlopsError(DfjaxError):
    """A program holds something whose operations cannot be told; a number would be a guess."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Floating-point operations over all devices, by what does them."""

    products: float = 0.0
    convolutions: float = 0.0
    kernels: float = 0.0

    @property
    def total(self) -> float:
        return self.products + self.convolutions + self.kernels

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

    def __mul__(self, times: float) -> "Counts":
        return Counts(*(times * value for value in _values(self)))


def _values(counts: Counts) -> tuple[float, float, float]:
    return counts.products, counts.convolutions, counts.kernels


def jaxpr_flops(closed: core.ClosedJaxpr) -> Counts:
    """The operations of a jaxpr, such as ``jax.jit(step).trace(...).jaxpr``, without what nothing depends on.

    Of the branches of a condition the most expensive counts.

    Raises:
      FlopsError: a loop of unknown length with products in it, or an operation that is known to be left out.
    """
    live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(live)


def recomputed_share(executed: float, model: float) -> float:
    """The share of a program's work that it does again: 1 - model / executed.

    Args:
      executed: operations of the jaxpr. model: those of the same step by :func:`dfjax.models.flops.formula`, or of its
        jaxpr with ``model.remat="none"`` and plain attention. Flash attention computes its scores again in any case.
    """
    return max(0.0, 1 - model / executed)


def _count(jaxpr: core.Jaxpr) -> Counts:
    return sum((_equation(equation) for equation in jaxpr.eqns), Counts())


def _equation(equation: Any) -> Counts:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return Counts(products=_product(equation))
    if name == "conv_general_dilated":
        return Counts(convolutions=_convolution(equation))
    if name in _FUSED_ATTENTION:
        return Counts(kernels=_FUSED_ATTENTION[name] * _attention_product(equation))
    if name.startswith("ragged_dot"):
        raise FlopsError(f"the operations of {name} depend on data")
    inner = [_count(jaxpr) for jaxpr in jaxprs(params)]
    if name == "cond":
        return max(inner, key=lambda counts: counts.total)
    total = sum(inner, Counts())
    if name == "scan":
        return total * params["length"]
    if name == "while" and total.total:
        raise FlopsError("a while loop with matrix products in it: write it as a scan, whose length is known")
    if name == "shard_map":
        return total * math.prod(params["mesh"].shape[axis] for axis in params["newly_manual_axes"])
    if name == "pallas_call":
        return Counts(kernels=total.total * _grid_points(params["grid_mapping"].grid))
    return total


def jaxprs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """Every jaxpr among an equation's parameters."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _product(equation: Any) -> float:
    left, out = equation.invars[0].aval, equation.outvars[0].aval
    (contracted, _), _ = equation.params["dimension_numbers"]
    return 2.0 * out.size * math.prod(left.shape[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    """As if no window met the border; the zeros that dilate an input are not multiplied."""
    kernel, out = equation.invars[1].aval, equation.outvars[0].aval
    features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * out.size * kernel.size / features / math.prod(equation.params["lhs_dilation"])


def _grid_points(grid: tuple[Any, ...]) -> int:
    if not all(isinstance(size, int) for size in grid):
        raise FlopsError(f"a Pallas kernel whose grid {grid} is not known before it runs")
    return math.prod(grid)


# cuDNN's flash attention: two products forward, and five backward, of which one is the scores again.
_FUSED_ATTENTION = {"dot_product_attention_fwd_wrapper": 2, "dot_product_attention_bwd_wrapper": 5}


def _attention_product(equation: Any) -> float:
    """Operations of one product of queries [batch, q_tokens, heads, head] and keys [batch, k_tokens, heads, head]."""
    query, key = (variable.aval for variable in equation.invars[:2])
    return 2.0 * query.size * key.shape[1]


def compiled_flops(compiled: jax.stages.Compiled) -> float:
    """The compiler's own count over all devices, elementwise operations included; of a loop it takes one turn only.

    Raises:
      FlopsError: this compiler counts nothing.
    """
    analysis = compiled.cost_analysis()
    if not analysis or "flops" not in analysis:
        raise FlopsError("the compiler gives no count of floating-point operations")
    devices = {device for sharding in jax.tree.leaves(compiled.input_shardings) for device in sharding.device_set}
    return analysis["flops"] * max(1, len(devices))
