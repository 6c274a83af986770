"""The machine's float32 matrix product, by one of the libraries that steps are made of."""

from collections.abc import Callable

import child

SIDE = 2048


def jax_product() -> tuple[Callable, str]:
    import jax
    import jax.numpy as jnp

    square = jnp.ones((SIDE, SIDE), jnp.float32)
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(square, square)), f"jax {jax.__version__}"


def numpy_product() -> tuple[Callable, str]:
    import numpy as np

    square = np.ones((SIDE, SIDE), np.float32)
    return lambda: square @ square, f"numpy {np.__version__}"


def torch_product() -> tuple[Callable, str]:
    import torch

    square = torch.ones(SIDE, SIDE)
    return lambda: square @ square, f"torch {torch.__version__}"


def make(sizes: child.Sizes, library: str) -> child.Work:
    """``library``: jax, numpy or torch; the sizes do not matter."""
    product, versions = {"jax": jax_product, "numpy": numpy_product, "torch": torch_product}[library]()

    def run(steps: int) -> None:
        for _ in range(steps):
            product()

    return child.Work(run, 2.0 * SIDE**3, 0, versions)


if __name__ == "__main__":
    child.serve(make)
