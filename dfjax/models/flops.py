"""Model floating-point operations of a training step, by formula: what MFU counts (PaLM, arXiv 2204.02311, appendix B).

For each token that meets it a parameter of a matrix takes 2 operations forward, and backward 2 for its own gradient and
2 for that of the matrix's input, unless that is data. Attention takes 4 * width * tokens^2 a layer, and backward twice
that. Norms, softmax, embeddings, optimizer and averages count as nothing, and so does what is computed a second time.
"""

from typing import Any

from dfjax.core import trees
from dfjax.models.inputs import Work
from dfjax.models.parameters import Descriptions, undescribed


def formula(params: Any, descriptions: Descriptions, work: Work | None, examples: int) -> float | None:
    """Model floating-point operations of one optimizer step, over all devices, forward and backward.

    None where they are not known: the network does not say its work, or what a parameter is.

    Args:
      params: arrays or their shapes. examples: of a batch.
    """
    if work is None or undescribed(params, descriptions):
        return None
    matrices = 0
    for name, leaf in trees.named_leaves(params).items():
        known = descriptions[name]
        matrices += (4 if known.of_data else 6) * leaf.size * work.met(known.tokens)
    return float(examples * (matrices + 12 * work.attention))


def utilization(flops_per_step: float, step_seconds: float, peak_flops: float) -> float:
    """MFU: the share of the devices' peak that the model's operations come to; peak_flops is over all devices."""
    return flops_per_step / (step_seconds * peak_flops)
