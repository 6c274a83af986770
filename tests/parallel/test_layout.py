"""A layout over a mesh keeps no gathered weight for the backward pass, whatever is rematerialised."""

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from dfjax.parallel import layout, mesh, torus
from dfjax.training import optim, state, step
from tests import small


def _scans(jaxpr):
    """Every scan in a jaxpr and in what it calls."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _scans(inner)


def _gathers(jaxpr) -> int:
    own = sum(equation.primitive.name == "all_gather" for equation in jaxpr.eqns)
    inner = (getattr(v, "jaxpr", v) for equation in jaxpr.eqns for v in equation.params.values())
    return own + sum(_gathers(part) for part in inner if hasattr(part, "eqns"))


@pytest.mark.parametrize(("remat", "backward"), [("none", 8), ("attention", 8), ("dots", 9), ("full", 9)])
def test_weights_are_gathered_again_in_the_backward_pass(remat, backward, monkeypatch):
    values = {"model.remat": remat, "text.depth": 0}
    config, network = small.config(values), small.denoiser(values)
    over = AbstractMesh((1, 1, 4, 1, 1), mesh.AXES, axis_types=(AxisType.Auto,) * 5)
    monkeypatch.setattr(torus, "stages", lambda mesh, axis: ())
    monkeypatch.setattr(layout, "_kernel", lambda model, work, mesh: layout.joint)
    optimizer = optim.make(config, network.described)
    shapes = state.abstract(network, optimizer, over)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    null = small.tokenizer().null()
    traced = step.make(network, config, optimizer, null, over, shardings).trace(shapes, step.batch_shapes(config))
    gathers = [_gathers(scan.params["jaxpr"].jaxpr) for scan in _scans(traced.jaxpr.jaxpr)]
    # A layer's eight kernels and the bias of its modulation, which no gradient needs unless it is added again.
    assert [count for count in gathers if count] == [9, backward]


def test_positions_are_counted_in_mixed_radix_the_fastest_first():
    assert torus.groups((2, 3)) == (((0, 1), (2, 3), (4, 5)), ((0, 2, 4), (1, 3, 5)))
