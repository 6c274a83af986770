"""Slices of TPUs and nodes of GPUs by name, as devices that can be compiled for but are not there.

A name is ``KIND:SHAPE`` or ``KIND:SHAPE*SLICES``: ``v5e:16x16``, ``v5p:4x8x8*2`` (two slices), ``h100:8*4`` (four nodes
of eight), ``cpu:8`` (virtual devices of this machine).
"""

import contextlib
import dataclasses
import difflib
import functools
import importlib.util
import math
import os
import re
import sys
from collections.abc import Iterator

import jax
from jax.experimental import topologies

from dfjax.core.errors import DfjaxError
from dfjax.parallel import hardware
from dfjax.plan import gpu_target
from dfjax.plan import slices as offers

_MOST_CPUS = 512


class TopologyError(DfjaxError):
    """A topology that nobody offers, or that cannot be compiled for here."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind in slices.

    Attributes:
      kind: of ``hardware.DEVICES``, or "cpu".
      shape: chips of one slice along each dimension of its torus, as the cloud writes it; GPUs of one node.
      slices: slices, or nodes.
    """

    kind: str
    shape: offers.Shape
    slices: int = 1

    def __str__(self) -> str:
        slices = f"*{self.slices}" if self.slices > 1 else ""
        return f"{self.kind}:{'x'.join(map(str, self.shape))}{slices}"

    @property
    def is_tpu(self) -> bool:
        return self.kind in _TPUS

    @property
    def chips(self) -> int:
        """Chips of all slices; each is one device of JAX."""
        return math.prod(self.shape) * self.slices

    @functools.cached_property
    def device(self) -> hardware.Device:
        """What one chip can do. For "cpu" this machine is measured, which takes a second."""
        return hardware.cpu(self.chips) if self.kind == "cpu" else hardware.DEVICES[self.kind]

    @property
    def hosts(self) -> int:
        """Processes that drive the devices: of a v5e or v6e slice of eight chips one, of larger ones one for four."""
        if self.kind == "cpu":
            return 1
        most = 8 if self.shape == (2, 4) else self.device.chips_per_host
        return math.ceil(math.prod(self.shape) / most) * self.slices

    @property
    def wraps(self) -> tuple[bool, ...]:
        """For each dimension of ``shape``, whether the torus closes to a ring there.

        v5e and v6e: along 16 chips. v4 and v5p: in every dimension of whole cubes of 4 x 4 x 4.
        """
        if not self.is_tpu:
            return (False,) * len(self.shape)
        closed = [size % self.device.ring_multiple == 0 for size in self.shape]
        return (all(closed),) * len(closed) if self.device.torus_axes == 3 else tuple(closed)

    def devices(self) -> list[jax.Device]:
        """Devices to compile for, one a chip; those of "cpu" are real, and can also run.

        The first call fixes how JAX starts, unless :func:`prepare_environment` did so before.

        Raises:
          TopologyError: the compiler for them is not installed, or JAX started with too few virtual devices.
        """
        prepare_environment(self)
        found = _cpus(self) if self.kind == "cpu" else _tpus(self) if self.is_tpu else _gpus(self)
        if len(found) != self.chips:
            raise TopologyError(f"the compiler for {self} knows {len(found)} devices, not {self.chips}")
        return found


_TPUS = [name for name, device in hardware.DEVICES.items() if device.platform == "tpu"]
_KINDS = [*hardware.DEVICES, "cpu"]
# What is a platform of JAX and no kind of device, with a topology of one that is.
_PLATFORMS = {"gpu": "h100:8", "tpu": "v5e:4x4"}


def parse(text: str) -> Topology:
    """The topology of a name, such as "v5e:16x16*4"; dimensions may come in any order.

    Raises:
      TopologyError: an unknown kind or a shape that is not offered, naming the nearest that is.
    """
    match = re.fullmatch(r"([a-z0-9]+)(?::(\d+(?:x\d+)*))?(?:\*(\d+))?", text.strip().lower())
    if not match:
        raise TopologyError(f"topology {text!r} is not of the form KIND:SHAPE or KIND:SHAPE*SLICES, as v5e:16x16*4")
    kind, sizes, slices = match[1], match[2], int(match[3] or 1)
    if kind not in _KINDS:
        near = _PLATFORMS.get(kind) or difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.0)[0]
        raise TopologyError(f"topology {text!r}: unknown kind {kind!r}; did you mean {near!r}? Of {', '.join(_KINDS)}")
    if kind == "cpu":
        return _parse_cpu(text, sizes, slices)
    if not sizes or slices < 1:
        example = Topology(kind, offers.offered(kind)[-1], 2)
        raise TopologyError(f"topology {text!r} names no {'shape' if not sizes else 'slice'}; write it as {example}")
    wanted = tuple(int(size) for size in sizes.split("x"))
    for shape in offers.offered(kind):
        if sorted(shape) == sorted(wanted):
            return Topology(kind, shape, slices)
    shape, count = offers.nearest(kind, wanted)
    advice = Topology(kind, shape, count * slices)
    raise TopologyError(f"topology {text!r}: no such {'slice' if kind in _TPUS else 'node'} is offered; try {advice}")


def _parse_cpu(text: str, sizes: str | None, slices: int) -> Topology:
    count = sizes or "1"
    if "x" in count or slices != 1 or not 1 <= int(count) <= _MOST_CPUS:
        raise TopologyError(f"topology {text!r}: a CPU is cpu or cpu:N, of 1 to {_MOST_CPUS} virtual devices, as cpu:8")
    return Topology("cpu", (int(count),))


def prepare_environment(topology: Topology) -> None:
    """Settings that JAX reads once: call it before JAX is asked for a device. Flags that the user has set stay.

    The process is kept off accelerators that this machine has: compiling needs none.
    """
    jax.config.update("jax_platforms", "cpu")
    if topology.kind == "cpu":
        _add_flags(f"--xla_force_host_platform_device_count={topology.chips}")
    elif not topology.is_tpu:
        # Kernels cannot be tried out on a GPU that is not there.
        _add_flags("--xla_gpu_autotune_level=0", "--xla_gpu_enable_triton_gemm=false")


def _add_flags(*flags: str) -> None:
    have = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = " ".join([have, *(flag for flag in flags if flag.split("=")[0] not in have)]).strip()


def _cpus(topology: Topology) -> list[jax.Device]:
    devices = jax.devices("cpu")
    if len(devices) < topology.chips:
        raise TopologyError(
            f"JAX started with {len(devices)} virtual devices, too few for {topology}; "
            f"start again with XLA_FLAGS=--xla_force_host_platform_device_count={topology.chips}"
        )
    return devices[: topology.chips]


# What libtpu reads as it loads.
_LIBTPU = {
    # Else it asks a cloud's metadata server where it is, for minutes where there is none, and then complains.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # Else only one process of a machine may load it at a time.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def _tpus(topology: Topology) -> list[jax.Device]:
    if importlib.util.find_spec("libtpu") is None:
        raise TopologyError(
            f"{topology} is compiled by libtpu, which is not installed; it needs no TPU: {_install('tpu')}"
        )
    shape = "x".join(map(str, topology.shape))
    options: dict[str, object] = {}
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    if topology.chips // topology.hosts != 4:
        options["chips_per_host_bounds"] = (*topology.shape, 1)
    if topology.kind == "v4":
        # Both cores of a chip as one device, as the TPU itself shows them.
        options["chip_config_name"] = "megacore"
    with _environment(_LIBTPU):
        return topologies.get_topology_desc(f"{topology.kind}:{shape}", platform="tpu", **options).devices


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Environment variables for as long as something loads, where the user has not set them."""
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _install(extra: str) -> str:
    constraints = f"constraints/py{sys.version_info.major}{sys.version_info.minor}.txt"
    return f"pip install 'dfjax[{extra}]' (in a checkout: pip install -c {constraints} -e '.[{extra}]')"


def _gpus(topology: Topology) -> list[jax.Device]:
    if importlib.util.find_spec("jax_cuda13_plugin") is None and importlib.util.find_spec("jax_cuda12_plugin") is None:
        raise TopologyError(
            f"{topology} is compiled by JAX's CUDA plugin, which is not installed; it needs no GPU, but 4.4 GB: "
            f"{_install('cuda')}"
        )
    name = f"{topology.slices}x1x{topology.shape[0]}"
    target = gpu_target.text(topology.device)
    # All have slice_index 0; nodes differ in process_index.
    return topologies.get_topology_desc(name, platform="cuda", topology=name, target_config=target).devices
