"""Guidance: two denoised estimates of one state, one better suited to the prompt, and the step beyond it.

The other estimate is what is led away from: the network's own under the null caption or a negative prompt
(classifier-free guidance, arXiv 2207.12598), or that of a weaker network under the same prompt (autoguidance, arXiv
2406.02507). All functions work on denoised estimates x, since two networks may predict different things; for
classifier-free guidance this changes nothing, all predictions being linear in x.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dfjax.core.registry import GUIDANCE

Images = Float[Array, "batch height width channels"]
Scale = Float[Array, "batch"]


def within(scale: Scale, active: Bool[Array, ""] | bool) -> Scale:
    """The scale where guidance acts, and 1 (none) elsewhere: guidance in a limited interval (arXiv 2404.07724)."""
    return jnp.where(active, scale, jnp.ones_like(scale))


@GUIDANCE.own("classifier_free")
def classifier_free(conditional: Images, other: Images, scale: Scale) -> Images:
    """other + scale (conditional - other) (arXiv 2207.12598, equation 6 with w = scale - 1; 2406.02507, equation 3).

    Args:
      scale: guidance scale per sample; 1 gives the conditional estimate, to the bit.
    """
    scale = scale[:, None, None, None]
    # From the conditional side, so that a scale of 1 adds nothing at all.
    return conditional + (scale - 1.0) * (conditional - other)


@GUIDANCE.own("apg")
def projected(conditional: Images, other: Images, scale: Scale, parallel: float = 0.0, norm: float = 0.0) -> Images:
    """Adaptive projected guidance (APG, arXiv 2410.02416, section 4), without its momentum over steps.

    Of the difference only a share of the part along the conditional estimate is kept, which is what oversaturates.

    Args:
      scale: guidance scale per sample. parallel: share eta of the parallel part.
      norm: the difference's largest Euclidean norm per sample; 0: no bound.
    """
    axes = (1, 2, 3)
    difference = conditional - other
    if norm:
        length = jnp.sqrt(jnp.sum(jnp.square(difference), axis=axes, keepdims=True))
        difference = difference * jnp.minimum(1.0, norm / jnp.maximum(length, 1e-12))
    along = jnp.sum(difference * conditional, axis=axes, keepdims=True)
    square = jnp.sum(jnp.square(conditional), axis=axes, keepdims=True)
    part = along / jnp.maximum(square, 1e-12) * conditional
    return conditional + (scale[:, None, None, None] - 1.0) * (difference - (1.0 - parallel) * part)


def rescaled(guided: Images, conditional: Images, share: float) -> Images:
    """The guided estimate, moved by ``share`` towards the contrast of the conditional one (2305.08891, section 3.4).

    Args:
      share: phi in [0, 1]; 1 gives each sample the standard deviation of its conditional estimate.
    """
    axes = (1, 2, 3)
    wanted, have = jnp.std(conditional, axis=axes, keepdims=True), jnp.std(guided, axis=axes, keepdims=True)
    # A flat picture has no contrast to set.
    ratio = jnp.where(have > 1e-6, wanted / jnp.maximum(have, 1e-6), 1.0)
    return guided * (share * ratio + 1.0 - share)
