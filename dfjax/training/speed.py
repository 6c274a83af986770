"""How well a run uses its devices: model FLOP/s utilization, and memory in use."""

import dataclasses
import logging
from typing import Any

import jax

from dfjax import config as config_lib
from dfjax.models import flops
from dfjax.models.inputs import Work
from dfjax.models.parameters import Descriptions, undescribed
from dfjax.parallel import hardware

_log = logging.getLogger(__name__)

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a step computes, and what the run's devices could compute in a second (None: not known)."""

    flops_per_step: float | None
    peak_flops: float | None

    def scalars(self, step_seconds: float) -> dict[str, float]:
        """``train/mfu`` from 0 to 1 (PaLM, arXiv 2204.02311, appendix B), and ``train/memory_gib`` of a device.

        MFU is the model's floating-point operations (``models/flops.py``; what is computed again does not count) over
        what the devices could do in the time. Memory is of this process's fullest device; on CPUs, of the process.
        """
        found = {}
        if self.flops_per_step and self.peak_flops:
            found["train/mfu"] = flops.utilization(self.flops_per_step, step_seconds, self.peak_flops)
        used = [bytes_used for d in jax.local_devices() if (bytes_used := hardware.memory_in_use(d)) is not None]
        if used:
            found["train/memory_gib"] = max(used) / 2**30
        return found


def of(config: config_lib.Config, work: Work | None, descriptions: Descriptions, params: Any) -> Speed:
    """The speed of a run over all its devices. On CPUs the peak is a measured float32 matrix product, of a second.

    Args:
      work, descriptions: what the network says of itself and of its parameters; where it does not, no MFU is reported.
    """
    if names := undescribed(params, descriptions):
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        _log.warning(
            "%d parameter(s) are not described, so no MFU is reported, and they neither decay nor are moved by Muon: "
            "%s; describe them where their layers are made (dfjax.models.parameters.describe)",
            len(names),
            shown,
        )
    elif work is None:
        _log.warning("the network does not say its work (dfjax.models.inputs.Work): no MFU is reported")
    device = jax.devices()[0]
    known = hardware.find(device.device_kind, device.platform)
    peak: float | None
    if device.platform == "cpu":
        # Virtual devices of one process share its cores.
        peak = hardware.measure_cpu() * jax.process_count()
    elif known is None:
        _log.warning("the peak of a %s is not in dfjax/parallel/hardware.py: no MFU is reported", device.device_kind)
        peak = None
    else:
        peak = known.peak_flops(config.model.dtype) * jax.device_count()
    return Speed(flops.formula(params, descriptions, work, config.train.batch_size), peak)
