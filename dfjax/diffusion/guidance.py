"""Classifier-free guidance."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]


def classifier_free(
    conditional: Images, unconditional: Images, scale: Float[Array, "batch"], active: Float[Array, ""] | bool = True
) -> Images:
    """unconditional + scale (conditional - unconditional) (arXiv 2207.12598, equation 6 with w = scale - 1).

    Args:
      conditional, unconditional: predictions of one kind at one noise level (any kind: all are linear in x0).
      scale: guidance scale per sample; 1 gives the conditional prediction.
      active: where False the conditional prediction is returned: guidance in a limited interval (arXiv 2404.07724).
    """
    scale = jnp.where(active, scale, 1.0)[:, None, None, None]
    return unconditional + scale * (conditional - unconditional)
