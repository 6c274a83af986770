"""A plan from end to end on a CPU."""

import dataclasses
import json

import jax
import pytest

from dfjax.plan import report
from tests import small
from tests.plan import small_device

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


@pytest.mark.long
def test_whole_layers_computed_again_are_a_share_of_the_work(monkeypatch):
    small_device.use(monkeypatch)
    # A forward pass more, of three: a quarter, less what lies outside the layers.
    assert 0.15 < report.make(small.config({"model.remat": "full"}), small_device.topology()).recomputed_share < 0.25


def test_the_words_have_the_same_numbers_on_one_screen(plan):
    words = plan.text()
    assert "fits: " in words
    assert f"{plan.mfu_bound:.1%}" in words
    assert len(words.splitlines()) < 40
    assert max(map(len, words.splitlines())) < 120


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
