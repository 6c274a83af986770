"""Predictions and loss weights as their papers write them, in NumPy, to hold ours against; for 0 < t < 1."""

import numpy as np


def outputs(x, eps, alpha, sigma, d) -> dict[str, np.ndarray]:
    """What each prediction is of a picture and its noise. EDM's is of z/alpha, at its own noise level sigma/alpha."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z, level = x + sigma / alpha * eps, sigma / alpha
        skip, out = d**2 / (level**2 + d**2), level * d / np.sqrt(level**2 + d**2)
        # v is the velocity over the angle between picture and noise, of unit length under any scale of the two.
        v = (alpha * eps - sigma * x) / np.sqrt(alpha**2 + sigma**2)
        return {"x0": x, "eps": eps, "v": v, "flow": eps - x, "edm": (x - skip * z) / out}


def weights(alpha, sigma, d, gamma=5.0, bias=0.0, p2_gamma=1.0, p2_k=1.0) -> dict[str, np.ndarray]:
    """The weight of the squared error of x0 in each loss."""
    snr, level = alpha**2 / sigma**2, sigma / alpha
    return {
        "x0": np.ones_like(snr),
        "eps": snr,
        # At fixed z, v = (alpha z / m - m x) / sigma with m^2 = alpha^2 + sigma^2.
        "v": (alpha**2 + sigma**2) / sigma**2,
        # And eps - x = (z - (alpha + sigma) x) / sigma.
        "flow": ((alpha + sigma) / sigma) ** 2,
        "edm": (level**2 + d**2) / (level * d) ** 2,
        "snr": snr,
        "min_snr": np.minimum(snr, gamma),
        "truncated_snr": np.maximum(snr, 1.0),
        "sigmoid": snr / (1.0 + np.exp(np.log(snr) - bias)),
        "p2": snr / (p2_k + snr) ** p2_gamma,
    }
