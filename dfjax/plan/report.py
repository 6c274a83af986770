"""A plan: what a step needs and takes on a topology, as numbers, JSON and one screen of words."""

import dataclasses
import logging
import math
from typing import Any

import jax

from dfjax import config as config_lib
from dfjax.models import flops as model_flops
from dfjax.plan import build, flops, hbm, memory, traffic
from dfjax.plan import roofline as roofline_lib
from dfjax.plan.topology import Topology

_log = logging.getLogger(__name__)
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Plan:
    """A step on a topology; bytes are of one device, operations over all of them, all for one optimizer step.

    Attributes:
      mesh: size of each axis. usable_bytes: of the device's memory, what a program may fill.
      params: the network's numbers. model_flops: by formula (models/flops.py), None where it cannot tell.
      jaxpr_flops: those executed, of products, convolutions and kernels. recomputed_share: of the executed ones,
        against the same step with plain attention and nothing computed again. hbm_moved: an estimate (hbm.py).
      collectives: by kind and axes; None where the compiler refused the program.
      examples: of a batch. peak_flops: of all devices, per second, for the network's compute type.
    """

    topology: str
    mesh: dict[str, int]
    memory: memory.Memory
    usable_bytes: int
    hbm_bytes: int
    params: int
    model_flops: float | None
    jaxpr_flops: float
    recomputed_share: float
    hbm_moved: float
    collectives: tuple[traffic.Total, ...] | None
    roofline: roofline_lib.Roofline
    examples: int
    peak_flops: float
    compile_seconds: float

    @property
    def fits(self) -> bool:
        return self.memory.peak <= self.usable_bytes

    @property
    def images_per_second(self) -> float | None:
        """The most that the roofline allows."""
        return self.examples / self.roofline.bound if self.roofline.bound else None

    @property
    def mfu_bound(self) -> float | None:
        """The highest MFU that the roofline allows."""
        bound, flops = self.roofline.bound, self.model_flops
        return model_flops.utilization(flops, bound, self.peak_flops) if bound and flops else None

    def to_json(self) -> dict[str, Any]:
        """One object of JSON's own types. The keys stay."""
        memory_, roofline = self.memory, self.roofline
        found: dict[str, Any] = {
            "topology": self.topology,
            "mesh": self.mesh,
            "fits": self.fits,
            "bytes_per_device": memory_.peak,
            "usable_bytes": self.usable_bytes,
            "hbm_bytes": self.hbm_bytes,
            "state_bytes": memory_.state,
            "argument_bytes": memory_.arguments,
            "working_bytes": memory_.working,
            "program_bytes": memory_.program,
            "params": self.params,
            "model_flops_per_step": self.model_flops,
            "jaxpr_flops_per_step": self.jaxpr_flops,
            "recomputed_share": self.recomputed_share,
            "hbm_moved_bytes_estimate": self.hbm_moved,
            "collectives": None,
            "roofline_seconds": {
                "compute": roofline.compute,
                "hbm": roofline.hbm,
                "interconnect": roofline.interconnect,
                "interconnect_by_axes": roofline.by_axes,
                "bound": roofline.bound,
            },
            "images_per_second": self.images_per_second,
            "mfu_bound": self.mfu_bound,
            "compile_seconds": self.compile_seconds,
        }
        if self.collectives is not None:
            found["collectives"] = [dataclasses.asdict(total) | {"axes": [*total.axes]} for total in self.collectives]
        return found

    def text(self) -> str:
        """For people."""
        verdict = "fits" if self.fits else "does NOT fit"
        peak, usable = self.memory.peak, self.usable_bytes
        mesh = " x ".join(f"{axis} {size}" for axis, size in self.mesh.items() if size > 1) or "one device"
        lines = [
            f"{self.topology}: {math.prod(self.mesh.values())} device(s), {mesh}; {_scaled(self.params)} parameters",
            f"{verdict}: {_size(peak)} of {_size(usable)} usable a device "
            f"({_size(self.hbm_bytes)} in all, {peak / self.hbm_bytes:.1%})",
            "",
            *self._memory_lines(),
            "",
            *self._work_lines(),
            "",
            *self._traffic_lines(),
            "",
            *self._time_lines(),
            f"{'refused after' if self.collectives is None else 'compiled in'} {self.compile_seconds:.0f} s",
        ]
        return "\n".join(lines)

    def _memory_lines(self) -> list[str]:
        found = self.memory
        rows = [(f"state: {kind}", size) for kind, size in found.state.items() if size]
        if found.working is None or found.program is None:
            return [
                *_table("memory a device", [(name, _size(size)) for name, size in rows]),
                "  the rest is unknown: the compiler refused the program, and said its total only",
            ]
        rows += [("working memory", found.working), ("program", found.program)]
        rows += [("batch, padding", found.peak - sum(size for _, size in rows)), ("peak", found.peak)]
        return _table("memory a device", [(name, _size(size)) for name, size in rows])

    def _work_lines(self) -> list[str]:
        rows = [
            ("model, by formula", f"{_scaled(self.model_flops)}flop" if self.model_flops else "not known"),
            ("executed, by the jaxpr", f"{_scaled(self.jaxpr_flops)}flop"),
            ("computed again", f"{self.recomputed_share:.1%} of the executed"),
        ]
        return _table("floating-point operations a step", rows)

    def _traffic_lines(self) -> list[str]:
        if self.collectives is None:
            return ["collectives: unknown, since there is no program"]
        if not self.collectives:
            return ["collectives: none"]
        rows = [
            (
                f"{total.kind} over {'+'.join(total.axes) or 'none'}",
                f"{total.count:6,} x  {_size(total.payload_bytes):>11} in all  {_size(total.link_bytes):>11} sent",
            )
            for total in self.collectives
        ]
        return _table("collectives a step and device", rows)

    def _time_lines(self) -> list[str]:
        time = self.roofline
        rows = [("compute", _time(time.compute)), ("HBM (estimate)", _time(time.hbm))]
        if time.interconnect is not None:
            rows.append(("interconnect", _time(time.interconnect)))
        if time.bound is not None:
            rows.append(("bound, all overlapped", _time(time.bound)))
            rows.append(("images/s, at most", f"{self.images_per_second:,.1f}"))
            rows.append(("MFU, at most", f"{self.mfu_bound:.1%}"))
        return _table("roofline a step", rows)


def make(config: config_lib.Config, topology: Topology) -> Plan:
    """Compile a config's step for a topology and read the program.

    Raises:
      ConfigError: the config cannot work there. TopologyError: the compiler for it is missing.
    """
    _log.info("compiling the step for %s", topology)
    built = build.build(config, topology)
    traced, network = built.traced, built.traced.network
    done = "refused after" if built.compiled is None else "compiled in"
    _log.info("%s %.0f s; reading the program", done, built.compile_seconds)
    found = memory.measure(built)
    moving = None
    if built.compiled is not None:
        moving = traffic.collectives(built.compiled.as_text() or "", traced.mesh)
    executed = flops.jaxpr_flops(traced.jaxpr).total
    moved = hbm.step_bytes(config, traced.mesh, found.state)
    device, dtype = topology.device, config.model.dtype
    return Plan(
        topology=str(topology),
        mesh=dict(traced.mesh.shape),
        memory=found,
        usable_bytes=device.usable_bytes,
        hbm_bytes=device.hbm_bytes,
        params=sum(leaf.size for leaf in jax.tree.leaves(traced.state.params)),
        model_flops=model_flops.formula(
            traced.state.params, network.described, network.denoiser.work, config.train.batch_size
        ),
        jaxpr_flops=executed,
        recomputed_share=flops.recomputed_share(executed, _least_flops(config, topology)),
        hbm_moved=moved,
        collectives=None if moving is None else tuple(traffic.by_axis(moving)),
        roofline=roofline_lib.roofline(executed, moved, moving, traced.mesh, topology, dtype),
        examples=config.train.batch_size,
        peak_flops=topology.chips * device.peak_flops(dtype),
        compile_seconds=built.compile_seconds,
    )


def _least_flops(config: config_lib.Config, topology: Topology) -> float:
    """Operations of the same step that computes nothing again; flash attention always does, so it has the plain one."""
    plain = dataclasses.replace(config, model=dataclasses.replace(config.model, remat="none", attention="xla"))
    return flops.jaxpr_flops(build.trace(plain, topology.devices()).jaxpr).total


def _table(title: str, rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{title}:", *(f"  {name.ljust(width)}  {value}" for name, value in rows)]


def _size(size: float) -> str:
    return f"{size / _GIB:.2f} GiB" if size >= _GIB else f"{size / 2**20:.1f} MiB"


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1e3:.3f} ms"


def _scaled(number: float) -> str:
    """A number with a prefix of the SI, as "2.1 G"."""
    power = min(6, int(math.log10(max(number, 1)) // 3))
    return f"{number / 1000**power:.4g} {['', 'k', 'M', 'G', 'T', 'P', 'E'][power]}"
