"""How the noise level t of each training example is drawn: even numbers u, through the inverse of a distribution."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from dfjax.core.registry import TIMESTEPS
from dfjax.diffusion.schedule import Schedule

Levels = Float[Array, "batch"]


class Settings(NamedTuple):
    """The numbers that a density takes: those of the config's ``diffusion`` section of the same names."""

    timestep_mean: float = 0.6
    timestep_std: float = 1.0
    timestep_mode: float = 1.29


def stratified(key: Key[Array, ""], index: Int[Array, "batch"], total: int) -> Levels:
    """Uniform numbers in (0, 1), one in each of ``total`` equal strata, for the global batch's rows ``index``.

    u_i = frac(u_0 + i / total) with one shared u_0 (VDM, arXiv 2107.00630, appendix I.1). Row i's number depends on
    the key and on i alone, so the same batch split over devices or micro-batches gets the same numbers. Ends are
    kept out by half a float32 step, so that a logit stays finite.
    """
    offset = jax.random.uniform(key, (), jnp.float32)
    u = (offset + index.astype(jnp.float32) / total) % 1.0
    return jnp.clip(u, 2.0**-25, 1.0 - 2.0**-24)


def uniform(u: Levels) -> Levels:
    """t = u."""
    return u


def logit_normal(u: Levels, mean: float, std: float) -> Levels:
    """t with logit(t) normal (SD3, arXiv 2403.03206, equation 19)."""
    return jax.nn.sigmoid(mean + std * jax.scipy.special.ndtri(u))


def log_normal(u: Levels, mean: float, std: float, schedule: Schedule) -> Levels:
    """t with log(sigma/alpha) normal (EDM, arXiv 2206.00364, table 1, with mean -1.2 and std 1.2)."""
    return schedule.time(jnp.exp(mean + std * jax.scipy.special.ndtri(u)))


def mode(u: Levels, scale: float) -> Levels:
    """Mode sampling: t = 1 - u' - s (cos^2(pi u' / 2) - 1 + u') with u' = 1 - u (SD3, arXiv 2403.03206, equation 20).

    Heavy tails around the middle for 0 < s <= 2 / (pi - 2), more at the ends for -1 <= s < 0. SD3's u runs from noise
    to picture; with u' = 1 - u larger u gives larger t.
    """
    rest = 1.0 - u
    t = 1.0 - rest - scale * (jnp.square(jnp.cos(jnp.pi / 2 * rest)) - 1.0 + rest)
    return jnp.clip(t, 0.0, 1.0)


def cosine_mapped(u: Levels) -> Levels:
    """t = 1 - 1 / (tan(pi u / 2) + 1): under flow, the log-SNR of the cosine schedule (SD3, section 3.1, "CosMap")."""
    # Sines of u and of its complement, so that no tangent grows without bound.
    noise, signal = jnp.sin(jnp.pi / 2 * u), jnp.sin(jnp.pi / 2 * (1.0 - u))
    return noise / (noise + signal)


# A density of t is a function (u, settings, schedule) -> t, from even numbers u in (0, 1) to levels in [0, 1].
TIMESTEPS.own("uniform", lambda u, settings, schedule: uniform(u))
TIMESTEPS.own("logit_normal", lambda u, of, schedule: logit_normal(u, of.timestep_mean, of.timestep_std))
TIMESTEPS.own("log_normal", lambda u, of, schedule: log_normal(u, of.timestep_mean, of.timestep_std, schedule))
TIMESTEPS.own("mode", lambda u, of, schedule: mode(u, of.timestep_mode))
TIMESTEPS.own("cosine_mapped", lambda u, settings, schedule: cosine_mapped(u))
