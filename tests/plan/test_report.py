"""A plan from end to end on a CPU, and the advice where it does not fit: compiled, the cheapest first."""

import dataclasses
import json

import jax
import pytest

from dfjax.plan import advise, report, topology
from tests import small
from tests.plan import small_device

CPU = topology.Topology("cpu", (1,))
# More rows, so that activations outweigh the state.
ROWS = {"train.batch_size": 64}
KEYS = {
    "fits",
    "bytes_per_device",
    "hbm_bytes",
    "model_flops_per_step",
    "collectives",
    "roofline_seconds",
    "mfu_bound",
    "compile_seconds",
}


@pytest.fixture(scope="module")
def plan():
    with pytest.MonkeyPatch.context() as patch:
        small_device.use(patch)
        yield report.make(small.config(ROWS), _cpu())


def _cpu() -> topology.Topology:
    """A new one: each keeps the device it was first asked for."""
    return dataclasses.replace(CPU)


def test_a_plan_is_one_json_object_with_the_promised_keys(plan):
    found = json.loads(json.dumps(plan.to_json()))
    assert found.keys() >= KEYS
    assert found["fits"] is True
    assert found["topology"] == "cpu:1"
    assert found["bytes_per_device"] > sum(found["state_bytes"].values())
    assert found["collectives"] == []
    seconds = found["roofline_seconds"]
    assert seconds["bound"] == max(seconds["compute"], seconds["hbm"], seconds["interconnect"])
    assert found["images_per_second"] == pytest.approx(64 / seconds["bound"])


def test_what_the_jaxpr_counts_is_what_the_formula_says(plan):
    assert plan.jaxpr_flops == pytest.approx(plan.model_flops, rel=0.02)
    assert plan.recomputed_share == 0
    assert plan.roofline.compute == plan.jaxpr_flops / small_device.CPU.peak_flops_f32
    assert plan.mfu_bound == pytest.approx(plan.model_flops / 1e12 / plan.roofline.bound)


def test_whole_layers_computed_again_are_a_share_of_the_work(monkeypatch):
    small_device.use(monkeypatch)
    # A forward pass more, of three: a quarter, less what lies outside the layers.
    assert 0.15 < report.make(small.config({"model.remat": "full"}), _cpu()).recomputed_share < 0.25


def test_the_words_have_the_same_numbers_on_one_screen(plan):
    words = plan.text()
    assert "fits: " in words
    assert f"{plan.mfu_bound:.1%}" in words
    assert len(words.splitlines()) < 40
    assert max(map(len, words.splitlines())) < 120


def test_a_step_that_does_not_fit_gets_the_change_that_makes_it_fit(plan, monkeypatch):
    # A little less than it needs; half the rows at a time need much less.
    usable = int(0.9 * plan.memory.peak)
    small_device.use(monkeypatch, memory=usable)
    # Nothing but accumulation is left to change, on one device.
    config, where = small.config(ROWS | {"model.remat": "full"}), _cpu()
    short = dataclasses.replace(plan, usable_bytes=usable)
    assert not short.fits
    advice = advise.find(config, where, short)
    assert advice.change is not None
    assert advice.change.flags == "--config.train.accumulation=2"
    assert advice.change.bytes_per_device <= usable
    assert advice.tried == ()
    told = dataclasses.replace(short, advice=advice)
    assert "does NOT fit" in told.text()
    assert f"to make it fit: {advice.change.flags}" in told.text()
    assert told.to_json()["advice"]["change"]["flags"] == advice.change.flags


def test_a_state_that_is_too_large_by_itself_is_not_compiled_again(plan, monkeypatch):
    small_device.use(monkeypatch, memory=plan.memory.state["params"])
    config, where = small.config(ROWS), _cpu()
    monkeypatch.setattr(advise.build, "build", lambda *_: pytest.fail("compiled"))
    short = dataclasses.replace(plan, usable_bytes=where.device.usable_bytes)
    told = dataclasses.replace(short, advice=advise.find(config, where, short))
    assert told.advice == report.Advice(None, ())
    assert "take more devices" in told.text()


def test_no_more_programs_are_compiled_than_allowed(plan, monkeypatch):
    small_device.use(monkeypatch)
    compiled = []

    def build(config, _):
        compiled.append(config)
        raise StopIteration

    monkeypatch.setattr(advise.build, "build", build)
    with pytest.raises(StopIteration):
        advise.find(small.config(ROWS), _cpu(), plan, most=1)
    assert len(compiled) == 1
    assert advise.find(small.config(ROWS), _cpu(), plan, most=0) == report.Advice(None, ())


def test_changes_are_tried_from_the_cheapest():
    flash = small.config({"model.attention": "xla", "model.remat": "dots", "train.batch_size": 8})
    assert [advise.flags(changes) for changes in advise.candidates(flash, "tpu", 4)] == [
        "--config.model.attention=auto",
        "--config.model.attention=auto --config.model.remat=full",
        "--config.model.attention=auto --config.mesh.data=1 --config.mesh.fsdp=-1",
        "--config.model.attention=auto --config.model.remat=full --config.mesh.data=1 --config.mesh.fsdp=-1",
        *(
            "--config.model.attention=auto --config.model.remat=full --config.mesh.data=1 --config.mesh.fsdp=-1 "
            f"--config.train.accumulation={parts}"
            for parts in (2, 4, 8)
        ),
    ]


def test_a_change_is_a_config(monkeypatch):
    config = small.config()
    changed = advise.apply(config, {"model.remat": "full", "mesh.fsdp": -1, "mesh.data": 1})
    assert (changed.model.remat, changed.mesh.fsdp, changed.mesh.data) == ("full", -1, 1)
    assert changed.optim == config.optim


def test_a_refused_program_is_told_with_what_it_needs(plan):
    needed = 3 * plan.hbm_bytes
    found = dataclasses.replace(plan.memory, arguments=None, working=None, program=None, peak=needed)
    time = dataclasses.replace(plan.roofline, interconnect=None, by_axes=None)
    refused = dataclasses.replace(plan, memory=found, roofline=time, collectives=None)
    as_json = refused.to_json()
    assert (as_json["fits"], as_json["bytes_per_device"], as_json["working_bytes"]) == (False, needed, None)
    assert (as_json["collectives"], as_json["mfu_bound"], as_json["images_per_second"]) == (None, None, None)
    assert "the compiler refused the program" in refused.text()
    assert jax.tree.leaves(as_json["roofline_seconds"])
