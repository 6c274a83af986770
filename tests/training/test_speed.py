"""What a run says of its use of the devices."""

import jax
import pytest

from dfjax.models import flops
from dfjax.training import speed
from tests import small


def test_utilization_is_the_formula_over_what_the_devices_could_do_in_the_time():
    found = speed.Speed(flops_per_step=6e9, peak_flops=4e9).scalars(step_seconds=3.0)
    assert found["train/mfu"] == pytest.approx(0.5)
    assert found["train/memory_gib"] > 0.05


def test_no_peak_no_utilization():
    assert "train/mfu" not in speed.Speed(6e9, None).scalars(1.0)


def test_on_a_cpu_the_peak_is_measured(monkeypatch):
    monkeypatch.setattr(speed.hardware, "measure_cpu", lambda: 7e10)
    network = small.denoiser()
    params = network.abstract_params()
    wanted = flops.formula(params, network.described, network.work, small.config().train.batch_size)
    assert speed.of(small.config(), network.work, network.described, params) == speed.Speed(wanted, 7e10)


def test_where_a_parameter_is_not_described_it_is_named_once_and_there_is_no_utilization(monkeypatch, caplog):
    monkeypatch.setattr(speed.hardware, "measure_cpu", lambda: 7e10)
    network = small.denoiser()
    params = network.abstract_params()
    few = {name: known for name, known in network.described.items() if name not in ("patch_in/bias", "pooled/kernel")}
    found = speed.of(small.config(), network.work, few, params)
    assert "train/mfu" not in found.scalars(1.0)
    assert len(caplog.records) == 1
    assert "2 parameter(s) are not described" in caplog.text
    assert "patch_in/bias, pooled/kernel; describe them" in caplog.text


def test_where_the_network_does_not_say_its_work_there_is_no_utilization(monkeypatch, caplog):
    monkeypatch.setattr(speed.hardware, "measure_cpu", lambda: 7e10)
    network = small.denoiser()
    found = speed.of(small.config(), None, network.described, network.abstract_params())
    assert "train/mfu" not in found.scalars(1.0)
    assert "does not say its work" in caplog.text


def test_an_unknown_device_is_said_to_be_unknown(monkeypatch, caplog):
    device = type("Device", (), {"device_kind": "Abacus", "platform": "wood"})()
    monkeypatch.setattr(jax, "devices", lambda: [device])
    network = small.denoiser()
    params = network.abstract_params()
    assert speed.of(small.config(), network.work, network.described, params).peak_flops is None
    assert "the peak of a Abacus is not in" in caplog.text
