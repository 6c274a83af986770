"""The section ``model``: the denoiser and its sizes."""

import dataclasses

from dfjax.config.keys import key
from dfjax.core import registry


@dataclasses.dataclass(frozen=True)
class Model:
    name: str = key(
        "transformer",
        "network: one stream of text and image tokens, or MMDiT's two, over frozen text features",
        choices=registry.DENOISERS,
    )
    width: int = key(384, "channels of the residual stream", low=8, high=65536)
    depth: int = key(8, "transformer layers over text and image tokens", low=1, high=256)
    heads: int = key(6, "attention heads; width / heads must be a multiple of 4", low=1, high=512)
    patch: int = key(4, "side of a patch, pixels", low=1, high=64)
    overlap: bool = key(True, "patches overlap by half a patch on each side, so that no seams show")
    mlp_ratio: float = key(2.75, "hidden channels of the gated MLP over width", low=0.1, high=16)
    remat: str = key(
        "none",
        "what the backward pass computes again: nothing, attention scores, all but matrix products, or whole layers",
        choices=("none", "attention", "dots", "full"),
        resume=True,
    )
    attention: str = key(
        "auto",
        "kernel of attention: plain XLA, cuDNN's flash on NVIDIA GPUs, splash on TPUs; auto: the platform's own",
        choices=("auto", "xla", "cudnn", "splash"),
        resume=True,
    )
    dtype: str = key("float32", "compute type; parameters stay float32", choices=("float32", "bfloat16"))
    unroll: int = key(
        1, "layers unrolled per scan iteration: more is faster and compiles longer", low=1, high=256, resume=True
    )
