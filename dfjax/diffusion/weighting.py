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
import functools
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfjax.core.registry import LOSSES
from dfjax.diffusion import prediction as prediction_lib

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

    def __call__(self, prediction: str, alpha: Level, sigma: Level) -> Level:
        """The weight of the squared error of a network's ``prediction``, elementwise, >= 0.

        Raises:
          RegistryError: the loss or the prediction has an unknown name.
        """
        if self.loss in ("constant", prediction):
            return jnp.ones_like(alpha)
        own = prediction_lib.sensitivity(prediction, alpha, sigma, self.data_std)
        # Finite at both ends.
        square = LOSSES[self.loss](self, alpha, sigma)
        return square / jnp.maximum(own, self.floor) ** 2


def _in_terms_of(name: str, of: Weighting, alpha: Level, sigma: Level) -> Level:
    return prediction_lib.sensitivity(name, alpha, sigma, of.data_std) ** 2


def _sigmoid(of: Weighting, alpha: Level, sigma: Level) -> Level:
    signal, noise = alpha**2, sigma**2
    return signal * noise / (noise + signal * math.exp(-of.sigmoid_bias))


def _p2(of: Weighting, alpha: Level, sigma: Level) -> Level:
    signal, noise = alpha**2, sigma**2
    return signal * (noise / (of.p2_k * noise + signal)) ** of.p2_gamma


# A loss weight is a function (weighting, alpha, sigma) -> c^2; ``constant`` is told apart above.
LOSSES.own("constant", lambda of, alpha, sigma: jnp.ones_like(alpha))
for _name in ("x0", "eps", "v", "flow", "edm"):
    LOSSES.own(_name, functools.partial(_in_terms_of, _name))
LOSSES.own("snr", lambda of, alpha, sigma: alpha**2)
LOSSES.own("min_snr", lambda of, alpha, sigma: jnp.minimum(alpha**2, of.min_snr_gamma * sigma**2))
LOSSES.own("truncated_snr", lambda of, alpha, sigma: jnp.maximum(alpha**2, sigma**2))
LOSSES.own("sigmoid", _sigmoid)
LOSSES.own("p2", _p2)


def learned(loss: Float[Array, "batch"], log_variance: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """loss / e^u + u, with u learned over noise levels (EDM2, arXiv 2312.02696, equation 21).

    At its best u is the log of the level's mean loss: each level then pulls with the same force.
    """
    return loss * jnp.exp(-log_variance) + log_variance
