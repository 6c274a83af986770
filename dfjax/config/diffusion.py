"""The section ``diffusion``: the process, and what is minimised."""

import dataclasses

from dfjax.config.keys import key
from dfjax.core import registry


@dataclasses.dataclass(frozen=True)
class Diffusion:
    schedule: str = key(
        "flow",
        "noise schedule alpha(t), sigma(t)",
        choices=registry.SCHEDULES,
    )
    shift: float = key(1.0, "resolution shift: divides the signal-to-noise ratio by its square", low=0.01, high=100)
    zero_terminal: bool = key(False, "rescale linear or scaled_linear so that t = 1 is pure noise")
    discrete_steps: int = key(
        0, "train and sample at this many noise levels only, as DDPM (1000) does; 0: continuous", low=0, high=100_000
    )
    prediction: str = key("x0", "what the network's output means", choices=registry.PREDICTIONS)
    loss: str = key(
        "flow",
        "squared error in terms of the prediction itself (constant) or of another, or with a published weight",
        choices=registry.LOSSES,
    )
    min_sigma: float = key(0.05, "floor of what the loss divides by", low=1e-6, high=0.5)
    min_snr_gamma: float = key(5.0, "gamma of the min_snr loss", low=1e-3, high=1e6)
    sigmoid_bias: float = key(0.0, "bias b of the sigmoid loss, in log-SNR", low=-20, high=20)
    p2_gamma: float = key(1.0, "gamma of the p2 loss (k is 1)", low=0, high=10)
    data_std: float = key(
        0.5, "standard deviation of the pictures' values, for the edm prediction and loss", low=0.01, high=10
    )
    learned_variance: bool = key(False, "learn the loss's log-variance over t and even out its noise levels (EDM2)")
    timesteps: str = key(
        "logit_normal",
        "density of t in training",
        choices=registry.TIMESTEPS,
    )
    timestep_mean: float = key(
        0.6, "mean of logit(t) for logit_normal, of log(sigma/alpha) for log_normal", low=-10, high=10
    )
    timestep_std: float = key(1.0, "standard deviation of the same", low=0.01, high=10)
    timestep_mode: float = key(
        1.29, "s of the mode density: more in the middle; below 0 at the ends", low=-1, high=1.75
    )
    caption_dropout: float = key(0.1, "share of captions replaced by the null caption (for guidance)", low=0, high=1)
