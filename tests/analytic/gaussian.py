"""Data whose best denoiser is known: mixtures of Gaussians, with E[x | z] and where the exact flow takes each noise.

All is written for pictures whose last axis is the data's, [..., d], in the type and the library (NumPy or JAX) of z.
"""

import dataclasses
import functools

import numpy as np
from scipy import integrate, special

from dfjax.diffusion.schedule import Schedule, namespace


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """x ~ sum_k weights_k N(means_k, covs_k) over the last axis; one component is a Gaussian."""

    weights: np.ndarray
    means: np.ndarray
    covs: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.weights @ self.means

    @property
    def cov(self) -> np.ndarray:
        away = self.means - self.mean
        return np.einsum("k,kij->ij", self.weights, self.covs + away[:, :, None] * away[:, None, :])

    def _posterior(self, z, alpha, sigma):
        """Each component's share given z [..., k], z along its axes [..., k, d], and the variances of those."""
        xp, k = namespace(z), len(self.weights)
        spread, axes = self._axes
        means, alpha, sigma = np.einsum("kd,kde->ke", self.means, axes), alpha[..., None], sigma[..., None]
        variance = alpha**2 * spread.astype(z.dtype) + sigma**2
        along = z @ xp.asarray(np.concatenate(axes, -1), z.dtype)
        away = along.reshape(*z.shape[:-1], k, -1) - alpha * means.astype(z.dtype)
        log = np.log(self.weights).astype(z.dtype) - 0.5 * (away**2 * (1 / variance) + xp.log(variance)).sum(-1)
        # Far out all likelihoods are 0, so none is taken itself.
        share = xp.exp(log - log.max(-1, keepdims=True))
        return share / share.sum(-1, keepdims=True), away, variance

    @functools.cached_property
    def _axes(self):
        """Each component's principal variances [k, d] and axes [k, d, d]."""
        return tuple(np.linalg.eigh(self.covs))

    def estimate(self, z, alpha, sigma):
        """E[x | z] and E[eps | z], neither by way of the other; alpha and sigma broadcast against z [..., 1]."""
        xp, (spread, axes) = namespace(z), self._axes
        share, away, variance = self._posterior(z, alpha, sigma)
        back = xp.asarray(np.concatenate(axes.swapaxes(1, 2)), z.dtype)
        alpha, sigma = alpha[..., None], sigma[..., None]

        def mean(gain):
            value = share[..., None] * (gain * away)
            return value.reshape(*z.shape[:-1], -1) @ back

        x = share @ xp.asarray(self.means, z.dtype) + mean(alpha * spread.astype(z.dtype) / variance)
        return x, mean(sigma / variance)

    def denoise(self, schedule: Schedule, z, t):
        """E[x | z_t = z] for one t."""
        level = namespace(z).reshape(t, (1,) * z.ndim)
        return self.estimate(z, schedule.alpha(level), schedule.sigma(level))[0]

    def uncertainty(self, z, alpha, sigma):
        """The trace of Cov[x | z]: within components and between them."""
        spread, axes = self._axes
        share, away, variance = self._posterior(z, alpha, sigma)
        own = self.means + np.einsum("...ke,kde->...kd", alpha[..., None] * spread / variance * away, axes)
        between = own - (share[..., None] * own).sum(-2, keepdims=True)
        return (share * (spread * sigma[..., None] ** 2 / variance + between**2).sum(-1)).sum(-1)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """[n, 1, 1, d], float64."""
        drawn = rng.choice(len(self.weights), n, p=self.weights)
        normal = rng.normal(size=(n, self.means.shape[1]))
        x = self.means[drawn] + np.einsum("nij,nj->ni", np.linalg.cholesky(self.covs)[drawn], normal)
        return x[:, None, None, :]

    def flow(self, y: np.ndarray, start: float, end: float) -> np.ndarray:
        """Where the probability flow takes y = z/alpha from sigma/alpha = ``start`` to ``end``, to some 1e-11.

        In these terms all schedules share one equation, dy/dr = (y - x)/r with r = sigma/alpha.
        """

        def slope(r, values):
            return self.estimate(values.reshape(y.shape), np.ones(1), np.full(1, r))[1].ravel()

        solved = integrate.solve_ivp(slope, (start, end), y.ravel(), "DOP853", rtol=1e-12, atol=1e-13)
        return solved.y[:, -1].reshape(y.shape)

    def transport(self, y: np.ndarray, start: float, end: float) -> np.ndarray:
        """The same in closed form, for one component: each principal axis is scaled."""
        spread, axes = np.linalg.eigh(self.covs[0])
        scale = np.sqrt((spread + end**2) / (spread + start**2))
        return self.mean + (y - self.mean) @ (axes * scale) @ axes.T

    def below(self, direction: np.ndarray, value: np.ndarray) -> np.ndarray:
        """The share of the data with direction . x <= value."""
        means, stds = self.means @ direction, np.sqrt(np.einsum("i,kij,j->k", direction, self.covs, direction))
        return special.ndtr((value[..., None] - means) / stds) @ self.weights


GAUSSIAN = Data(np.ones(1), np.array([[0.3, -0.2]]), np.array([[[0.25, 0.12], [0.12, 0.16]]]))
MIXTURE = Data(
    np.array([0.3, 0.7]),
    np.array([[-0.6, 0.3], [0.5, -0.2]]),
    np.array([[[0.06, 0.02], [0.02, 0.04]], [[0.09, -0.05], [-0.05, 0.08]]]),
)


class Mixture:
    """A mixture value by value, for pictures of any shape."""

    data = Data(np.array([0.3, 0.7]), np.array([[-0.6], [0.5]]), np.array([[[0.04]], [[0.09]]]))

    def denoise(self, schedule: Schedule, z, t):
        """E[x | z_t = z] for one t."""
        return self.data.denoise(schedule, z[..., None], t)[..., 0]
