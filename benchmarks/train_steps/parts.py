"""Parts of a step alone, forward and backward, in JAX and in PyTorch: to see where a step's time goes.

attention: softmax and its two products, by the kernel that dfjax takes here, or PyTorch's. linear: each layer's
matrices of 12 width^2 parameters, of either stream, with nothing between them. optimizer: clipping, AdamW and the
average, of as many parameters. What a step takes beyond the three is norms, modulations, activations and copies.
"""

from collections.abc import Callable

import child

NAMES = ("query", "key", "value", "out", "up", "down")


def shapes(sizes: child.Sizes) -> dict[str, tuple[int, int]]:
    """The matrices of one layer of one stream, attention's and the MLP's, by ``NAMES``."""
    width = sizes.width
    return dict(zip(NAMES, [*[(width, width)] * 4, (width, 4 * width), (4 * width, width)], strict=True))


def chain(x, matrices):
    """Every matrix of a layer meets tokens x [rows, width] once; one after the other, lest XLA find equal products."""
    for name in NAMES:
        x = x @ matrices[name]
    return x


def in_jax(sizes: child.Sizes, part: str) -> Callable[[], None]:
    import jax
    import jax.numpy as jnp
    import ours

    from dfjax.diffusion import averaging
    from dfjax.models import attention
    from dfjax.training import optim

    config, key = ours.recipe(sizes), jax.random.key(0)
    tokens, head = sizes.tokens + sizes.text_tokens, sizes.width // sizes.heads
    if part == "optimizer":
        optimizer = optim.make(config, {})

        def update(params, average, state, gradients):
            updates, state = optimizer.update(gradients, state, params)
            params = jax.tree.map(jnp.add, params, updates)
            return params, averaging.ema_update(average, params, jnp.int32(1000), 0.999), state

        jitted = jax.jit(update, donate_argnums=(0, 1, 2))
        every = {f"{layer}/{name}": shape for layer in range(2 * sizes.depth) for name, shape in shapes(sizes).items()}
        params, gradients, average = ({n: jnp.full(s, 0.01) for n, s in every.items()} for _ in range(3))
        held = [params, average, optimizer.init(params)]

        def step():
            held[:] = jitted(*held, gradients)
            jax.block_until_ready(held)

        return step
    if part == "attention":
        arguments = tuple(jax.random.normal(key, (sizes.batch, tokens, sizes.heads, head)) for _ in range(3))
        kernel = attention.choose("auto", "cpu", head, tokens, tokens, "float32")
        mask = jnp.ones((sizes.batch, tokens), bool)

        def function(*arguments):
            return attention.attend(*arguments, mask, kernel=kernel)
    else:
        matrices = {name: 0.02 * jax.random.normal(key, shape) for name, shape in shapes(sizes).items()}
        rows = (sizes.batch * sizes.text_tokens, sizes.batch * sizes.tokens)
        arguments = tuple(jax.random.normal(key, (row, sizes.width)) for row in rows), (matrices, matrices)

        def function(streams, matrices):
            return [chain(*both) for both in zip(streams, matrices, strict=True)]

    def both(arguments):
        out, backward = jax.vjp(function, *arguments)
        return out, backward(out)

    jitted = jax.jit(both)

    def layers():
        for _ in range(sizes.depth):
            jax.block_until_ready(jitted(arguments))

    return layers


def in_torch(sizes: child.Sizes, part: str) -> Callable[[], None]:
    import torch
    from torch.optim import swa_utils

    tokens, head = sizes.tokens + sizes.text_tokens, sizes.width // sizes.heads
    if part == "optimizer":
        params = [
            torch.full(shape, 0.01, requires_grad=True)
            for shape in shapes(sizes).values()
            for _ in range(2 * sizes.depth)
        ]
        averages = [param.detach().clone() for param in params]
        for param in params:
            param.grad = torch.full_like(param, 0.01)
        optimizer = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.0, fused=True)
        average = swa_utils.get_ema_multi_avg_fn(0.999)

        def step():
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            average(averages, params, None)

        return step
    if part == "attention":
        leaves = [torch.randn(sizes.batch, tokens, sizes.heads, head, requires_grad=True) for _ in range(3)]

        def function():
            query, key, value = (leaf.transpose(1, 2) for leaf in leaves)
            return [torch.nn.functional.scaled_dot_product_attention(query, key, value)]
    else:
        rows = (sizes.batch * sizes.text_tokens, sizes.batch * sizes.tokens)
        streams = [torch.randn(row, sizes.width, requires_grad=True) for row in rows]
        matrices = [
            {name: (0.02 * torch.randn(shape)).requires_grad_() for name, shape in shapes(sizes).items()} for _ in rows
        ]
        leaves = [*streams, *(matrix for own in matrices for matrix in own.values())]

        def function():
            return [chain(*both) for both in zip(streams, matrices, strict=True)]

    def layers():
        for _ in range(sizes.depth):
            out = function()
            torch.autograd.backward(out, [one.detach() for one in out])
            for leaf in leaves:
                leaf.grad = None

    return layers


def make(sizes: child.Sizes, library: str, part: str) -> child.Work:
    """``library``: jax or torch. ``part``: attention, linear or optimizer."""
    once = {"jax": in_jax, "torch": in_torch}[library](sizes, part)
    tokens = sizes.tokens + sizes.text_tokens
    flops = {
        "attention": sizes.batch * child.attention(sizes, tokens),
        "linear": 6.0 * sizes.batch * tokens * sizes.depth * 12 * sizes.width**2,
        "optimizer": 0.0,
    }[part]

    def run(steps: int) -> None:
        for _ in range(steps):
            once()

    return child.Work(run, flops, 0, "")


if __name__ == "__main__":
    child.serve(make)
