"""A CPU of known rates and as little memory as a test wants: nothing is measured."""

import dataclasses

from dfjax.parallel import hardware
from dfjax.plan.topology import Topology

# More rows, so that activations outweigh the state.
ROWS = {"train.batch_size": 64}
CPU = hardware.Device("cpu", "cpu", "cpu", 1e12, 1e12, 2**30, 2**30, 1e9, 1e9, 0, 1, 1e9, 1)


def use(monkeypatch, memory: int = 2**30) -> hardware.Device:
    """Makes this the device of the topology "cpu"."""
    device = dataclasses.replace(CPU, hbm_bytes=memory, usable_bytes=memory)
    monkeypatch.setattr(hardware, "cpu", lambda devices=1: device)
    return device


def topology() -> Topology:
    """A new one: each keeps the device it was first asked for."""
    return Topology("cpu", (1,))
