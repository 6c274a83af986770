"""Data whose best denoiser is known: E[x | z] in closed form, and where the exact flow takes each noise."""

import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

from dfjax.diffusion.schedule import Schedule


class Gaussian:
    """x ~ N(mean, std^2), value by value."""

    mean, std = 0.3, 0.4

    def denoise(self, schedule: Schedule, z, t):
        """E[x | z_t = z]."""
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
        return self.mean + gain * (z - alpha * self.mean)

    def transport(self, noise):
        """Where the probability flow takes a noise value: the map that keeps quantiles."""
        return self.mean + self.std * noise


class Mixture:
    """x ~ 0.3 N(-0.6, 0.2^2) + 0.7 N(0.5, 0.3^2), value by value."""

    weights, means, stds = np.array([0.3, 0.7]), np.array([-0.6, 0.5]), np.array([0.2, 0.3])

    def denoise(self, schedule: Schedule, z, t):
        """E[x | z_t = z]: each component's own, weighed by how likely z is of it."""
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        z = z[..., None]
        variance = alpha**2 * self.stds**2 + sigma**2
        likelihood = self.weights * stats.norm.pdf(z, alpha * self.means, jnp.sqrt(variance))
        own = self.means + alpha * self.stds**2 / variance * (z - alpha * self.means)
        return jnp.sum(likelihood * own, axis=-1) / jnp.sum(likelihood, axis=-1)

    def quantile(self, x):
        """The share of the data below x."""
        return jnp.sum(self.weights * stats.norm.cdf(x[..., None], self.means, self.stds), axis=-1)
