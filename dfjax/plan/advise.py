"""The cheapest change of config that makes a step fit its devices, found by compiling.

Changes are tried in the order of what they cost: a flash kernel costs nothing, computing more again costs up to a third
more work, FSDP costs traffic, and gradient accumulation costs that traffic for every micro-batch. None of them changes
what is trained. What cannot fit, for its state alone or by the least that accumulation leaves, is not compiled.
"""

import logging
from collections.abc import Iterator
from typing import Any

from dfjax import config as config_lib
from dfjax.plan import build, memory
from dfjax.plan.report import Advice, Change, Plan
from dfjax.plan.topology import Topology

_log = logging.getLogger(__name__)

# Values by full key of the config.
Changes = dict[str, Any]
_REMATS = config_lib.FIELDS["model.remat"].metadata["choices"]
_SPLIT = {"mesh.data": 1, "mesh.fsdp": -1}
_MOST_PARTS = 1024


def find(config: config_lib.Config, topology: Topology, plan: Plan, most: int = 6) -> Advice:
    """Compile changed configs, the cheapest change first, until one fits.

    Args:
      plan: of the config as it is, which does not fit. most: programs to compile before giving up.
    """
    tried: list[Change] = []
    last = plan.memory
    last_parts = config.train.accumulation
    for changes in candidates(config, topology.device.platform, plan.mesh["data"]):
        if len(tried) == most:
            break
        changed = apply(config, changes)
        state = _state_bytes(changed, topology)
        if state is None:
            continue
        parts = changed.train.accumulation
        # Accumulation shrinks working memory at most in proportion; any other change may shrink it to nothing.
        working = last.peak - sum(last.state.values())
        least = sum(state.values()) + (working * last_parts / parts if parts > last_parts else 0)
        if least > plan.usable_bytes:
            continue
        _log.info("trying %s", flags(changes))
        last, last_parts = memory.measure(build.build(changed, topology)), parts
        found = Change(flags(changes), last.peak)
        if last.peak <= plan.usable_bytes:
            return Advice(found, tuple(tried))
        tried.append(found)
    return Advice(None, tuple(tried))


def candidates(config: config_lib.Config, platform: str, copies: int) -> Iterator[Changes]:
    """Changes worth a try, the cheapest first; some may not divide. Accumulation comes on top of all others.

    Args:
      copies: of the parameters, in devices that FSDP could spread them over.
    """
    changes: Changes = {}
    if config.model.attention == "xla" and platform != "cpu":
        changes = {"model.attention": "auto"}
        yield changes
    # Flash kernels keep no scores, so that there is nothing in "attention" for them.
    more = _REMATS[_REMATS.index(config.model.remat) + 1 :]
    for remat in more if platform == "cpu" else [remat for remat in more if remat != "attention"]:
        yield changes | {"model.remat": remat}
    fullest = changes | ({"model.remat": _REMATS[-1]} if more else {})
    if copies > 1:
        yield changes | _SPLIT
        if more:
            yield fullest | _SPLIT
        fullest = fullest | _SPLIT
    parts = 2 * config.train.accumulation
    while parts <= _MOST_PARTS and config.train.batch_size % parts == 0:
        yield fullest | {"train.accumulation": parts}
        parts *= 2


def apply(config: config_lib.Config, changes: Changes) -> config_lib.Config:
    """The config with other values."""
    values = config.to_dict()
    for key, value in changes.items():
        section, name = key.split(".")
        values[section][name] = value
    return config_lib.resolve(values)


def flags(changes: Changes) -> str:
    """The changes as flags of a command."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items())


def _state_bytes(config: config_lib.Config, topology: Topology) -> dict[str, int] | None:
    """Bytes of state on a device; None where the config does not divide over the devices."""
    try:
        return memory.state_bytes(build.parts(config, topology.devices()).state)
    except config_lib.ConfigError:
        return None
