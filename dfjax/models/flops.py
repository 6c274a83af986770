"""Model floating-point operations of a training step, by formula: what MFU counts (PaLM, arXiv 2204.02311, appendix B).

For each token that meets it a parameter of a matrix takes 2 operations forward, and backward 2 for its own gradient and
2 for that of the matrix's input, unless that is data. Attention takes 4 * width * tokens^2 a layer, and backward twice
that. Norms, softmax, embeddings, optimizer and averages count as nothing, and so does what is computed a second time.
"""

import re
from typing import Any

from dfjax import config as config_lib
from dfjax.core import trees
from dfjax.core.errors import DfjaxError
from dfjax.models.denoiser import image_shape

# Pattern of a kernel's path, which of an example's tokens meet it, and operations for each of them and each parameter,
# which are 4 where the input is data. The first pattern that is found counts.
ROWS: tuple[tuple[str, str, int], ...] = (
    (r"modulation/kernel$", "one", 6),
    (r"^blocks/text/", "text", 6),
    (r"^blocks/image/", "image", 6),
    (r"^blocks/", "all", 6),
    (r"^text/blocks/", "text", 6),
    (r"^text_in/", "text", 4),
    (r"^patch_in/", "image", 4),
    (r"^patch_out/", "image", 6),
    (r"^(time_in|log_variance/out)/", "one", 4),
    (r"^(time_out|pooled|final)/", "one", 6),
)


def formula(config: config_lib.Config, params: Any) -> float:
    """Model floating-point operations of one optimizer step, over all devices, forward and backward.

    Args:
      params: the network's parameters, as arrays or their shapes.

    Raises:
      DfjaxError: a kernel that no row of ``ROWS`` counts.
    """
    model = config.model
    text, image = config.text.max_tokens, (image_shape(config)[0] // model.patch) ** 2
    tokens = {"one": 1, "text": text, "image": image, "all": text + image}
    matrices = 0
    for name, leaf in trees.named_leaves(params).items():
        if name.endswith("/kernel"):
            which, operations = _row(name)
            matrices += operations * leaf.size * tokens[which]
    own_tower = 0 if config.text.features else config.text.depth * text**2
    attention = 12 * model.width * (model.depth * (text + image) ** 2 + own_tower)
    return float(config.train.batch_size * (matrices + attention))


def _row(name: str) -> tuple[str, int]:
    for pattern, which, operations in ROWS:
        if re.search(pattern, name):
            return which, operations
    raise DfjaxError(f"the operations of parameter {name} are not counted; add a row for it to dfjax/models/flops.py")


def utilization(flops_per_step: float, step_seconds: float, peak_flops: float) -> float:
    """MFU: the share of the devices' peak that the model's operations come to; peak_flops is over all devices."""
    return flops_per_step / (step_seconds * peak_flops)
