"""The sections ``sample`` and ``eval``: how pictures are drawn and measured."""

import dataclasses

from dfjax.config.keys import key
from dfjax.core import registry


@dataclasses.dataclass(frozen=True)
class Sample:
    sampler: str = key(
        "flow_heun",
        "solver",
        choices=registry.SAMPLERS,
        resume=True,
    )
    steps: int = key(20, "solver steps", low=1, high=10_000, resume=True)
    grid: str = key(
        "trailing",
        "where the steps lie between pure noise and picture",
        choices=registry.GRIDS,
        resume=True,
    )
    grid_min: float = key(
        0.02, "least sigma/alpha at which uniform, log_snr and karras call the network", low=1e-4, high=1, resume=True
    )
    grid_max: float = key(
        80.0, "sigma/alpha that log_snr and karras take pure noise for, or the schedule's own", low=1, resume=True
    )
    grid_rho: float = key(7.0, "rho of karras: larger steps less near the picture", low=1, high=100, resume=True)
    eta: float = key(
        -1.0,
        "noise of ddim, euler_ancestral and dpmpp_2m_sde, from 0 (none) to 1 (all); -1: the sampler's own (0, 1 and 1)",
        low=-1,
        high=1,
        resume=True,
    )
    churn: float = key(0.0, "S_churn of heun: noise added anew over the whole run", low=0, high=1000, resume=True)
    guidance: float = key(3.0, "guidance scale; 1: none", low=0, high=100, resume=True)
    guidance_method: str = key(
        "classifier_free", "how guidance adds the difference", choices=registry.GUIDANCE, resume=True
    )
    guidance_interval: tuple[float, ...] = key((0.1, 0.9), "t from which and up to which guidance acts", resume=True)
    guidance_rescale: float = key(
        0.0, "share by which a guided picture gets the contrast of the unguided one", low=0, high=1, resume=True
    )
    negative_prompt: str = key("", "what guidance leads away from; empty: the null caption", resume=True)
    guide: str = key("", "work directory of a weaker model to guide with (autoguidance); empty: none", resume=True)
    prompts: tuple[str, ...] = key(
        ("a red apple", "a green banana"), "prompts of the sample grids in TensorBoard", resume=True
    )


@dataclasses.dataclass(frozen=True)
class Eval:
    evaluators: tuple[str, ...] = key(
        ("validation", "distances", "alignment", "memory", "heldout"),
        "what `dfjax evaluate` measures",
        choices=registry.EVALUATORS,
        resume=True,
    )
    every_steps: int = key(0, "steps between evaluations inside training, on its mesh; 0: none", low=0, resume=True)
    num_images: int = key(512, "pictures drawn for a checkpoint, and for its held-out captions", low=2, resume=True)
    num_real: int = key(10_000, "most real pictures that they are compared with", low=2, resume=True)
    features: str = key(
        "efficientnet_lite0",
        "network whose features distances are taken on",
        choices=registry.FEATURES,
        resume=True,
    )
    weights: str = key("", "file with its weights; empty: those of its installed package", resume=True)
    clip: str = key("", "folder with CLIP's weights and tokenizer, for the evaluator clip", resume=True)
    lpips: str = key("", "files with AlexNet's and LPIPS's weights, for the evaluator lpips", resume=True)
    batch_size: int = key(64, "pictures drawn, or put through the features, at once", low=1, resume=True)
    seed: int = key(0, "seed of the noise that pictures are drawn from", low=0, high=2**31 - 1, resume=True)
