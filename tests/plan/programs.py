"""Programs whose traffic is known by how they are made: what they send is written down beside them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dfjax.plan import traffic

WIDTH = 512
LAYERS = 7
Known = tuple[str, tuple[str, ...], int, int]  # kind, axes, executions, bytes of the whole array


def text(mesh: Mesh, function: Callable, *arguments: tuple) -> str:
    """The compiled program of a function that each device runs on its part; an argument is (shape, dtype, spec)."""
    inside = [spec for _, _, spec in arguments]
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec)) for shape, dtype, spec in arguments
    ]
    # Results differ between devices: declared as the batch of all, so that nothing is gathered to hand them out.
    mapped = jax.shard_map(function, mesh=mesh, in_specs=tuple(inside), out_specs=P(mesh.axis_names), check_vma=False)
    return jax.jit(mapped).lower(*shapes).compile().as_text()


def known(found: list[traffic.Collective]) -> list[Known]:
    """What was found in a program, in a form to compare; scalars, which losses are, left out."""
    return sorted((one.kind, one.axes, one.count, one.payload_bytes) for one in found if one.payload_bytes > 64)


def square(dtype=jnp.bfloat16) -> tuple:
    """An argument that is ``WIDTH`` squared on each device."""
    return (WIDTH, WIDTH), dtype, P()


def single(name: str, axis: str | tuple[str, ...]) -> Callable:
    """One collective over an axis, between calculations."""
    operations = {
        "all-gather": lambda x: lax.all_gather(x, axis, tiled=True),
        "reduce-scatter": lambda x: lax.psum_scatter(x, axis, tiled=True),
        "all-reduce": lambda x: lax.psum(x, axis),
        "all-to-all": lambda x: lax.all_to_all(x, axis, 0, 1, tiled=True),
        "collective-permute": lambda x: lax.ppermute(x, axis, _ring(lax.axis_size(axis))),
    }
    return lambda x: jnp.sin(operations[name](jnp.cos(x)))


def _ring(size: int) -> list[tuple[int, int]]:
    return [(i, (i + 1) % size) for i in range(size)]


def together(x, y):
    """Two arrays of different sizes and types in all-reduces that may be combined."""
    return lax.psum(jnp.cos(x), "data").astype(jnp.float32).sum() + lax.psum(jnp.cos(y), "data").sum(keepdims=True)


def nested(x, weights):
    """Weights gathered in an inner loop over layers, an all-reduce of x in the outer loop of three trips."""

    def inner(h, weight):
        return jnp.tanh(h @ lax.all_gather(weight, "fsdp", tiled=True)), None

    def outer(h, _):
        h, _ = lax.scan(inner, h, weights)
        return lax.psum(h, "data") * 0.1, None

    return lax.scan(outer, x, None, length=3)[0]


def training_step(mesh: Mesh, extra: bool = False) -> str:
    """Weights split over fsdp, the batch over all axes, layers scanned, in bfloat16.

    A layer gathers its two weights forward and again backward, and scatters their gradients. With ``extra`` it gathers
    one of them once more, forward.
    """
    axes = mesh.axis_names

    def layer(h, weights):
        up, down = (lax.all_gather(weight.astype(jnp.bfloat16), "fsdp", tiled=True) for weight in weights)
        h = h + jax.nn.gelu(h @ up) @ down
        if extra:
            again = lax.all_gather(jnp.sin(weights[1]).astype(jnp.bfloat16), "fsdp", tiled=True)
            h = h + lax.stop_gradient(again.sum(0))
        return h, None

    def loss(weights, h):
        return jnp.square(lax.scan(jax.checkpoint(layer), h, weights)[0].astype(jnp.float32)).sum()

    def step(weights, h):
        value, gradients = jax.value_and_grad(loss)(weights, h)
        gradients = jax.tree.map(lambda gradient: lax.psum(gradient, "data"), gradients)
        return lax.psum(value, axes), jax.tree.map(lambda weight, gradient: weight - gradient, weights, gradients)

    spec = P(None, "fsdp", None)
    mapped = jax.shard_map(
        step, mesh=mesh, in_specs=((spec, spec), P(axes)), out_specs=(P(), (spec, spec)), check_vma=False
    )
    weights = tuple(
        _split(mesh, (LAYERS, *shape), jnp.float32, spec) for shape in ((WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
    )
    h = _split(mesh, (mesh.size * 512, WIDTH), jnp.bfloat16, P(axes))
    return jax.jit(mapped).lower(weights, h).compile().as_text()


def collective_matmul(mesh: Mesh) -> str:
    """The batch and the weights' inner dimension over one axis: the compiler gathers each layer's weight in pieces."""

    def apply(h, weights):
        rows = NamedSharding(mesh, P("fsdp", None))

        def layer(h, weight):
            return lax.with_sharding_constraint(jnp.tanh(h @ weight), rows), None

        return lax.scan(layer, h, weights)[0]

    h = _split(mesh, (mesh.size * 1024, WIDTH), jnp.bfloat16, P("fsdp", None))
    weights = _split(mesh, (LAYERS, WIDTH, WIDTH), jnp.bfloat16, P(None, "fsdp", None))
    return jax.jit(apply).lower(h, weights).compile().as_text()


def _split(mesh: Mesh, shape: tuple[int, ...], dtype, spec: P) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
