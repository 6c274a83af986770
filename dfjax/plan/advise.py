"""The cheapest change of config that makes a step fit its devices, found by compiling.

Changes are tried in the order of what they usually cost: a flash kernel costs nothing; FSDP costs traffic, which
overlaps with the work; computing little again costs a few percent of work; gradient accumulation costs the traffic of
FSDP for every micro-batch; whole layers computed again cost up to a third more work. Where all that is not enough,
pictures are split over several devices. None of them changes what is trained. Of those that fit, the one with the
shortest step by the roofline counts. What cannot fit, by its state and by what was compiled before it, or cannot be
quicker, is not compiled.
"""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import Any

from dfjax import config as config_lib
from dfjax.inputs import network as network_lib
from dfjax.models import attention
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import build, memory, report
from dfjax.plan.topology import Topology

_log = logging.getLogger(__name__)

# Values by full key of the config.
Changes = dict[str, Any]
_REMATS = config_lib.FIELDS["model.remat"].metadata["choices"]
_MOST_PARTS = 1024


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of config that was compiled, as flags of the command.

    Attributes:
      bytes_per_device: that the step then needs. seconds: the least that it then takes; None where the compiler
        refused it.
    """

    flags: str
    bytes_per_device: int
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Advice:
    """What was compiled to make a step fit.

    Attributes:
      change: the quickest that fits, if any does. tried: the others, as they were compiled.
      untried: flags of changes that may fit, for which no program was left.
    """

    change: Change | None
    tried: tuple[Change, ...]
    untried: tuple[str, ...] = ()

    def text(self) -> str:
        """For people."""
        lines = [f"  tried {_words(change)}" for change in self.tried]
        if self.change is not None:
            lines.append(f"to make it fit: {self.change.flags}")
            lines.append(f"  which needs {_words(self.change).removeprefix(f'{self.change.flags}: ')}")
        elif self.untried:
            lines.append(
                f"gave up after {len(self.tried)} program(s), none of which fits; {len(self.untried)} more change(s) "
                f"may fit and were not compiled, the last of them {self.untried[-1]}"
            )
        else:
            lines.append(
                "found no mesh, remat or accumulation with which it fits; those not compiled are too large by their "
                "state, or by what the compiled ones need: take more devices or a smaller network"
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Split:
    """A mesh over which a config divides.

    Attributes:
      changes: of the config, that make it. sizes: of its axes. state: bytes on one device.
    """

    changes: Changes
    sizes: dict[str, int]
    state: int


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What decides on the memory and the time of a step: its mesh, and three keys of the config by value."""

    split: Split
    attention: str
    remat: str
    parts: int

    def changes(self, config: config_lib.Config) -> Changes:
        """What of it differs from the config."""
        wanted = {"model.attention": self.attention, **self.split.changes}
        return _differing(config, wanted | {"model.remat": self.remat, "train.accumulation": self.parts})


# Programs compiled, and the plan of each.
Measured = list[tuple[Candidate, report.Plan]]


def find(config: config_lib.Config, topology: Topology, plan: report.Plan, most: int = 6) -> Advice:
    """Compile changed configs until one fits that nothing later can be quicker than.

    Args:
      plan: of the config as it is, which does not fit. most: programs to compile before giving up.
    """
    own = _own(config, plan)
    measured: Measured = [(own, plan)]
    tried: list[Change] = []
    untried: list[str] = []
    best: Change | None = None
    for candidate in candidates(config, topology, own):
        if _least_bytes(candidate, measured) > plan.usable_bytes or _no_quicker(candidate, measured):
            continue
        changes = candidate.changes(config)
        if len(tried) == most:
            untried.append(flags(changes))
            continue
        _log.info("trying %s", flags(changes))
        found = report.make(config.with_(changes), topology)
        measured.append((candidate, found))
        change = Change(flags(changes), found.memory.peak, found.roofline.bound)
        tried.append(change)
        if not found.fits or change.seconds is None:
            continue
        if best is None or best.seconds is None or change.seconds < best.seconds:
            best = change
        # All that comes later computes as much or more, and may only send less.
        if change.seconds > (found.roofline.interconnect or 0):
            break
    return Advice(best, tuple(change for change in tried if change is not best), () if best else tuple(untried))


def candidates(config: config_lib.Config, topology: Topology, own: Candidate) -> Iterator[Candidate]:
    """Changes worth a try, the cheapest first; all divide over the devices.

    Args:
      own: the config as it is.
    """
    platform, context = topology.device.platform, own.split.sizes["context"]
    sizes, flash = own.split.sizes, _takes_flash(config, platform, context)
    kernel = "auto" if flash and own.attention == "xla" else own.attention
    if kernel != own.attention:
        yield dataclasses.replace(own, attention=kernel)
    # Flash kernels keep no scores, so that there is nothing in "attention" for them.
    remats = [r for r in _REMATS[_REMATS.index(own.remat) :] if r in (own.remat, "dots", "full") or not flash]
    wider = _widest(config, topology, sizes, context, above=sizes["fsdp"])
    splits = [own.split] if wider is None else [wider, own.split]
    for remat in remats:
        # After what computes little again, and before whole layers are.
        for parts in _parts(config, own.split) if remat in remats[-2:] else [own.parts]:
            changed = (Candidate(split, kernel, remat, parts) for split in splits)
            yield from (candidate for candidate in changed if candidate != own)
    while split := _widest(config, topology, sizes, context := 2 * context):
        if flash and not _takes_flash(config, platform, context):
            break
        # At as many micro-batches as can be: a row over two devices takes what two rows, one after the other, do.
        yield Candidate(split, kernel, remats[-1], _parts(config, split)[-1])


def flags(changes: Changes) -> str:
    """The changes as flags of a command."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items())


def _own(config: config_lib.Config, plan: report.Plan) -> Candidate:
    split = Split({}, plan.mesh, sum(plan.memory.state.values()))
    return Candidate(split, config.model.attention, config.model.remat, config.train.accumulation)


def _differing(config: config_lib.Config, wanted: Changes) -> Changes:
    values = config.to_dict()
    return {key: value for key, value in wanted.items() if values[key.split(".")[0]][key.split(".")[1]] != value}


def _takes_flash(config: config_lib.Config, platform: str, context: int) -> bool:
    work, dtype = network_lib.work_of(config), config.model.dtype
    if work is None:
        return False
    for kernel in set(attention.KERNELS) - {"xla"}:
        with contextlib.suppress(config_lib.ConfigError):
            attention.check(kernel, platform, work.head_width, work.tokens // context, work.tokens, dtype)
            return True
    return False


def _widest(
    config: config_lib.Config, topology: Topology, sizes: dict[str, int], context: int, above: int = 0
) -> Split | None:
    """The mesh of the widest FSDP that divides the network, or None; ``tensor`` stays, replicas are one a slice.

    Args:
      sizes: of the config's own mesh. context: of the new one. above: what its FSDP must exceed.
    """
    fixed = {"replica": math.gcd(sizes["replica"], topology.slices), "tensor": sizes["tensor"], "context": context}
    rest, over = divmod(math.prod(sizes.values()), math.prod(fixed.values()))
    for fsdp in range(0 if over else rest, above, -1):
        if rest % fsdp:
            continue
        free = {"data": 1, "fsdp": -1} if fsdp == rest else {"data": -1, "fsdp": fsdp}
        changes = _differing(config, {f"mesh.{axis}": size for axis, size in (fixed | free).items()})
        try:
            parts = build.planned(config.with_(changes), topology.devices())
        except config_lib.ConfigError:
            continue
        return Split(changes, dict(parts.mesh.shape), sum(memory.state_bytes(parts.state).values()))
    return None


def _parts(config: config_lib.Config, split: Split) -> list[int]:
    """The config's own accumulation and its doubles, as far as they divide the batch."""
    rows = config.train.batch_size // math.prod(split.sizes[axis] for axis in mesh_lib.BATCH_AXES)
    found = [config.train.accumulation]
    while 2 * found[-1] <= _MOST_PARTS and rows % (2 * found[-1]) == 0:
        found.append(2 * found[-1])
    return found


def _least_bytes(candidate: Candidate, measured: Measured) -> float:
    """What a device needs at least: the state, and of the working memory of a program alike what accumulation leaves.

    Accumulation shrinks that at most in proportion, and a narrower FSDP, which holds more gradients, never.
    """
    working = 0.0
    for other, plan in measured:
        alike = (other.attention, other.remat) == (candidate.attention, candidate.remat)
        own, theirs = candidate.split.sizes, other.split.sizes
        if alike and own["context"] == theirs["context"] and own["fsdp"] <= theirs["fsdp"]:
            needed = plan.memory.peak - sum(plan.memory.state.values())
            working = max(working, needed * min(1, other.parts / candidate.parts))
    return candidate.split.state + working


def _no_quicker(candidate: Candidate, measured: Measured) -> bool:
    """Whether it computes and sends as much as one that fits, or more: then it came later for more parts or remat."""
    return any(
        plan.fits and other.split == candidate.split and other.parts <= candidate.parts for other, plan in measured
    )


def _words(change: Change) -> str:
    size = change.bytes_per_device
    needed = f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
    time = "" if change.seconds is None else f" a device, at least {change.seconds:.3g} s a step"
    return f"{change.flags}: {needed}{time}"
