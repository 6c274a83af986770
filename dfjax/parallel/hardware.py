"""What devices can do: one table of public figures, and measurements of the machine at hand.

Sources. TPUs: Google Cloud TPU documentation, the pages "TPU v4", "v5e", "v5p" and "v6e"
(https://docs.cloud.google.com/tpu/docs); the bandwidth of a link is the documented one of a chip over its links and
two directions, and for v4 the 50 GB/s of arXiv 2304.01433; the data-centre network of v4, which the documentation
leaves out, is that of https://jax-ml.github.io/scaling-book. GPUs: NVIDIA's data sheets of A100, H100 and H200, SXM
form, dense rates, and of DGX A100 and H100 for the network (one port of 200 or 400 Gbit/s for each GPU).
"""

import dataclasses
import functools
import os
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

GIB = 2**30
# What JAX takes of a GPU's memory unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
GPU_FRACTION = 0.75


@dataclasses.dataclass(frozen=True)
class Device:
    """One chip (JAX sees one device for each), or one CPU's share.

    Attributes:
      name: as in a topology, such as "v5e". kind: JAX's ``device.device_kind``. platform: "tpu", "gpu" or "cpu".
      peak_flops_bf16: floating-point operations per second of dense matrix products in bfloat16.
      peak_flops_f32: the same of float32 arrays at JAX's default precision, which is not float32: TPUs multiply them in
        one pass of bfloat16, NVIDIA GPUs as TensorFloat-32. A TPU takes 6 passes for ``precision="highest"``.
      hbm_bytes: memory on the chip (of v5p 96 GiB, of which the documentation counts 95). usable_bytes: what a program
        may fill: of TPUs, where libtpu 0.0.42 says that one does not fit; of GPUs, what JAX takes by default.
      hbm_bandwidth: bytes per second.
      link_bandwidth: bytes per second, one way, of one link between chips of a slice (GPUs: of a GPU into the switch).
      torus_axes: dimensions of the torus of links, with two links a chip in each; 0: every pair through a switch.
      ring_multiple: along an axis of such a length the torus closes to a ring; shorter ones are lines.
      dcn_bandwidth: bytes per second, one way, of a chip's share of the network between slices or nodes.
      chips_per_host: chips that one process drives, in a slice of several hosts.
    """

    name: str
    kind: str
    platform: str
    peak_flops_bf16: float
    peak_flops_f32: float
    hbm_bytes: int
    usable_bytes: int
    hbm_bandwidth: float
    link_bandwidth: float
    torus_axes: int
    ring_multiple: int
    dcn_bandwidth: float
    chips_per_host: int

    def peak_flops(self, dtype: str) -> float:
        """The peak for a compute type, "bfloat16" or "float32"."""
        return {"bfloat16": self.peak_flops_bf16, "float32": self.peak_flops_f32}[dtype]


def _tpu(name, kind, tflops, gib, usable_gib, hbm, link, axes, ring, dcn) -> Device:
    usable = int(usable_gib * GIB)
    peak = tflops * 1e12
    return Device(name, kind, "tpu", peak, peak, gib * GIB, usable, hbm * 1e9, link * 1e9, axes, ring, dcn * 1e9, 4)


def _gpu(name, kind, tflops, tf32, gigabytes, visible, hbm, link, dcn) -> Device:
    usable, memory = int(visible * GPU_FRACTION), gigabytes * 10**9
    peaks = tflops * 1e12, tf32 * 1e12
    return Device(name, kind, "gpu", *peaks, memory, usable, hbm * 1e9, link * 1e9, 0, 1, dcn * 1e9, 8)


# fmt: off
DEVICES: dict[str, Device] = {device.name: device for device in (
    #    name    kind           Tflop/s  GiB  usable  HBM GB/s  link GB/s  axes  ring  DCN GB/s
    _tpu("v4",  "TPU v4",         275,   32,  30.75,   1200,       50,      3,    4,    6.25),
    _tpu("v5e", "TPU v5 lite",    197,   16,  15.75,    819,       50,      2,   16,    3.125),
    _tpu("v5p", "TPU v5",         459,   96,  95.74,   2765,      100,      3,    4,    6.25),
    _tpu("v6e", "TPU v6 lite",    918,   32,  31.25,   1638,      100,      2,   16,   12.5),
    #    name    kind                     bf16   TF32   GB   visible bytes   HBM GB/s  link GB/s  DCN GB/s
    _gpu("a100", "NVIDIA A100-SXM4-80GB", 312,   156,   80,  84_986_691_584,   2039,      300,      25),
    _gpu("h100", "NVIDIA H100 80GB HBM3", 989.4, 494.7, 80,  84_942_979_072,   3350,      450,      50),
    _gpu("h200", "NVIDIA H200",           989.4, 494.7, 141, 150_111_453_184,  4800,      450,      50),
)}
# fmt: on
_OTHER_NAMES = {"TPU v5e": "v5e", "TPU v5p": "v5p", "TPU v6e": "v6e"}


def find(kind: str, platform: str) -> Device | None:
    """The table's row for JAX's ``device.device_kind`` and ``device.platform``; None for one that is not in it.

    Other forms of a GPU (PCIe, 40 GB) are slower, so only exact names count.
    """
    if kind in _OTHER_NAMES:
        return DEVICES[_OTHER_NAMES[kind]]
    platform = "gpu" if platform in ("cuda", "gpu") else platform
    return next((device for device in DEVICES.values() if (device.kind, device.platform) == (kind, platform)), None)


def cpu(devices: int = 1) -> Device:
    """This machine's CPU as ``devices`` virtual devices, each with its share of the measured rates and the memory.

    They exchange data through memory, so links are as fast as that.
    """
    peak, bandwidth = measure_cpu() / devices, _measure_memory() / devices
    memory = _memory_bytes() // devices
    return Device("cpu", "cpu", "cpu", peak, peak, memory, memory, bandwidth, bandwidth, 0, 1, bandwidth, devices)


@functools.cache
def measure_cpu() -> float:
    """The CPU's peak: floating-point operations per second of its best float32 matrix product; takes half a second."""
    device = jax.local_devices(backend="cpu")[0]
    product = jax.jit(jnp.matmul)
    best = 0.0
    for size in (1024, 1536):
        square = jax.device_put(np.ones((size, size), np.float32), device)
        jax.block_until_ready(product(square, square))
        for _ in range(5):
            started = time.perf_counter()
            jax.block_until_ready(product(square, square))
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


@functools.cache
def _measure_memory() -> float:
    """Bytes per second read and written by one thread's copy of 64 MiB, which no cache holds."""
    source = np.ones(2**26, np.uint8)
    target = np.zeros_like(source)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        np.copyto(target, source)
        best = max(best, 2 * source.size / (time.perf_counter() - started))
    return best


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_in_use(device: jax.Device) -> int | None:
    """Bytes of the device's memory that this process holds now; None where that cannot be told.

    A CPU's allocator keeps no count: there it is the resident memory of the process, host data and compiler included,
    over the number of its devices.
    """
    if device.platform == "cpu":
        resident = _resident_bytes()
        return resident and resident // jax.local_device_count(backend="cpu")
    return _statistic(device, "bytes_in_use")


def memory_peak(device: jax.Device) -> int | None:
    """The most that :func:`memory_in_use` has been in this process; on a CPU, since the process began."""
    if device.platform == "cpu":
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return peak // jax.local_device_count(backend="cpu")
    return _statistic(device, "peak_bytes_in_use")


def _statistic(device: jax.Device, name: str) -> int | None:
    statistics = device.memory_stats()
    return statistics.get(name) if statistics else None


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # No Linux.
        return None
