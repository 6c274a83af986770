"""How the noise level t of each training example is drawn."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def stratified(key: Key[Array, ""], index: Int[Array, "batch"], total: int) -> Float[Array, "batch"]:
    """Uniform numbers in (0, 1), one in each of ``total`` equal strata, for the global batch's rows ``index``.

    u_i = frac(u_0 + i / total) with one shared u_0 (VDM, arXiv 2107.00630, appendix I.1). Row i's number depends on
    the key and on i alone, so the same batch split over devices or micro-batches gets the same numbers. Ends are
    kept out by half a float32 step, so that a logit stays finite.
    """
    offset = jax.random.uniform(key, (), jnp.float32)
    u = (offset + index.astype(jnp.float32) / total) % 1.0
    return jnp.clip(u, 2.0**-25, 1.0 - 2.0**-24)


def uniform(u: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """t = u."""
    return u


def logit_normal(u: Float[Array, "batch"], mean: float, std: float) -> Float[Array, "batch"]:
    """t with logit(t) normal (SD3, arXiv 2403.03206, equation 19), by the inverse distribution function."""
    return jax.nn.sigmoid(mean + std * jax.scipy.special.ndtri(u))
