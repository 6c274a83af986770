"""The table of devices, and what is measured of the machine at hand."""

import jax
import numpy as np
import pytest

from dfjax.parallel import hardware
from dfjax.parallel.hardware import DEVICES, GIB


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_found_by_what_jax_calls_it(name):
    device = DEVICES[name]
    assert hardware.find(device.kind, device.platform) is device


@pytest.mark.parametrize(
    ("kind", "platform", "name"),
    [("TPU v5e", "tpu", "v5e"), ("TPU v5p", "tpu", "v5p"), ("NVIDIA H100 80GB HBM3", "cuda", "h100")],
)
def test_other_names_of_the_same_device_are_known(kind, platform, name):
    assert hardware.find(kind, platform) is DEVICES[name]


@pytest.mark.parametrize(
    ("kind", "platform"), [("NVIDIA H100 PCIe", "gpu"), ("TPU v2", "tpu"), ("cpu", "cpu"), ("TPU v4", "gpu")]
)
def test_a_device_that_is_not_in_the_table_has_no_peak(kind, platform):
    assert hardware.find(kind, platform) is None


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_figures_are_in_the_units_that_they_claim(device):
    assert 1e14 < device.peak_flops_bf16 < 1e15
    assert device.peak_flops_f32 <= device.peak_flops_bf16
    assert 15 * GIB < device.usable_bytes <= device.hbm_bytes < 142e9
    # Each step outward is slower: memory, links, network.
    assert 5e11 < device.hbm_bandwidth < 5e12
    assert device.hbm_bandwidth > device.link_bandwidth > device.dcn_bandwidth > 1e9


def test_the_peak_goes_by_the_compute_type():
    h100 = DEVICES["h100"]
    assert (h100.peak_flops("bfloat16"), h100.peak_flops("float32")) == (989.4e12, 494.7e12)


def test_a_cpu_is_measured_and_shared_by_its_virtual_devices():
    one, eight = hardware.cpu(), hardware.cpu(8)
    assert one.peak_flops_f32 == hardware.measure_cpu()
    # From a microcontroller to any server.
    assert 1e8 < one.peak_flops_f32 < 1e14
    assert eight.peak_flops_f32 == one.peak_flops_f32 / 8
    assert eight.hbm_bytes == one.hbm_bytes // 8


def test_memory_of_a_cpu_is_the_resident_set_shared_by_its_devices():
    device = jax.devices("cpu")[0]
    before = hardware.memory_in_use(device)
    size = 2**27
    held = np.ones(size, np.uint8)
    grown = hardware.memory_in_use(device) - before
    share = size / jax.local_device_count(backend="cpu")
    assert 0.9 * share < grown < 2 * share + 2**24
    assert held.nbytes == size
    assert hardware.memory_peak(device) >= hardware.memory_in_use(device) - 2**20


class _Chip:
    platform = "tpu"

    def __init__(self, statistics):
        self._statistics = statistics

    def memory_stats(self):
        return self._statistics


def test_memory_of_an_accelerator_is_what_its_allocator_says():
    chip = _Chip({"bytes_in_use": 7, "peak_bytes_in_use": 9})
    assert (hardware.memory_in_use(chip), hardware.memory_peak(chip)) == (7, 9)


def test_an_allocator_that_says_nothing_is_no_zero():
    assert hardware.memory_in_use(_Chip(None)) is None
    assert hardware.memory_peak(_Chip({})) is None
