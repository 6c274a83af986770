"""How much each noise level counts in the loss.

Papers give weights w of the squared error of x0, of eps or of v. All of them are written here as c^2 = sigma^2 w, with
w the weight of the x0 error: that is finite at both ends of time, where w, SNR or 1/SNR are not.

=============  ==================================  ===============================================  ================
name           weight of the x0 error              c^2                                              source
=============  ==================================  ===============================================  ================
x0, eps, ...   constant in terms of that one       ``prediction.sensitivity`` squared
snr            SNR                                 alpha^2 (the same as eps)                        arXiv 2006.11239
min_snr        min(SNR, gamma)                     min(alpha^2, gamma sigma^2)                      arXiv 2303.09556
truncated_snr  max(SNR, 1)                         max(alpha^2, sigma^2)                            arXiv 2202.00512
edm            (sigma^2 + d^2) / (sigma d)^2       (sigma^2 + alpha^2 d^2) / d^2                    arXiv 2206.00364
sigmoid        SNR sigmoid(b - log SNR)            alpha^2 / (1 + SNR e^-b)                         arXiv 2303.00848
p2             SNR / (k + SNR)^g                   alpha^2 sigma^2g / (k sigma^2 + alpha^2)^g       arXiv 2204.00227
=============  ==================================  ===============================================  ================
"""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.diffusion import prediction

Level = Float[Array, "..."]


@dataclasses.dataclass(frozen=True)
class Weighting:
    """The chosen loss, with its constants; ``constant`` is constant in terms of what the network predicts.

    ``floor`` bounds what the weight of an x0 or eps error divides by.
    """

    loss: str = "flow"
    floor: float = 0.05
    data_std: float = 0.5
    min_snr_gamma: float = 5.0
    sigmoid_bias: float = 0.0
    p2_gamma: float = 1.0
    p2_k: float = 1.0

    def _square(self, alpha: Level, sigma: Level) -> Level:
        """c^2, finite at both ends."""
        signal, noise = alpha**2, sigma**2
        if self.loss == "snr":
            return signal
        if self.loss == "min_snr":
            return jnp.minimum(signal, self.min_snr_gamma * noise)
        if self.loss == "truncated_snr":
            return jnp.maximum(signal, noise)
        if self.loss == "sigmoid":
            return signal * noise / (noise + signal * math.exp(-self.sigmoid_bias))
        if self.loss == "p2":
            return signal * (noise / (self.p2_k * noise + signal)) ** self.p2_gamma
        return prediction.sensitivity(self.loss, alpha, sigma, self.data_std) ** 2

    def __call__(self, kind: str, alpha: Level, sigma: Level) -> Level:
        """The weight of the squared error of a prediction of ``kind``, elementwise, >= 0.

        Raises:
          ValueError: the loss or the kind has an unknown name.
        """
        if self.loss in ("constant", kind):
            return jnp.ones_like(alpha)
        own = prediction.sensitivity(kind, alpha, sigma, self.data_std)
        return self._square(alpha, sigma) / jnp.maximum(own, self.floor) ** 2


LOSSES = ("constant", *prediction.KINDS, "snr", "min_snr", "truncated_snr", "sigmoid", "p2")


def learned(loss: Float[Array, "batch"], log_variance: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """loss / e^u + u, with u learned over noise levels (EDM2, arXiv 2312.02696, equation 21).

    At its best u is the log of the level's mean loss: each level then pulls with the same force.
    """
    return loss * jnp.exp(-log_variance) + log_variance
