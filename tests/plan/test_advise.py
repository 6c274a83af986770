"""Advice where a step does not fit: legal changes, the cheapest first, of which the quickest that fits is told."""

import dataclasses
import functools
import math
import re

import pytest

from dfjax.plan import advise, build, report, topology
from tests import small
from tests.plan import small_device
from tests.plan.small_device import ROWS

NO_LIBTPU = "libtpu is missing, which compiles for TPUs on a CPU: pip install libtpu"
# As many tokens, and heads as wide, as splash takes.
FLASH = {"text.max_tokens": 64, "model.patch": 2, "model.width": 128, "model.attention": "xla", "model.remat": "dots"}


def _tpus(name: str) -> topology.Topology:
    pytest.importorskip("libtpu", reason=NO_LIBTPU)
    return topology.parse(name)


def _candidates(values: dict, where: topology.Topology, **mesh: int) -> list[str]:
    """Flags of all candidates of a config on a mesh of these sizes."""
    config = small.config(values)
    sizes = {"replica": 1, "data": 1, "fsdp": 1, "tensor": 1, "context": 1} | mesh
    own = advise.Candidate(
        advise.Split({}, sizes, 0), config.model.attention, config.model.remat, config.train.accumulation
    )
    found = [advise.flags(candidate.changes(config)) for candidate in advise.candidates(config, where, own)]
    return [flags.replace("--config.", "") for flags in found]


def _plans(monkeypatch, plan, needs) -> list:
    """Plans of what ``needs`` says of a config: bytes, seconds of compute and of links. Returns those asked for."""
    asked = []

    def make(config, _):
        asked.append(config)
        peak, compute, links = needs(config)
        memory = dataclasses.replace(plan.memory, peak=peak)
        time = dataclasses.replace(plan.roofline, compute=compute, hbm=0.0, interconnect=links)
        return dataclasses.replace(plan, memory=memory, roofline=time)

    monkeypatch.setattr(advise.report, "make", make)
    return asked


def _followed(config, flags: str):
    """The config as the command would have it."""
    values = config.to_dict()
    for section, name, value in re.findall(r"--config\.(\w+)\.(\w+)=(\S+)", flags):
        values[section][name] = type(values[section][name])(value)
    return small.config_lib.resolve(values)


def test_changes_are_tried_from_the_cheapest():
    wide = "model.attention=auto mesh.data=1 mesh.fsdp=-1"
    assert _candidates(FLASH | {"train.batch_size": 16}, _tpus("v5e:2x2"), data=4) == [
        "model.attention=auto",
        wide,
        "model.attention=auto",
        f"{wide} train.accumulation=2",
        "model.attention=auto train.accumulation=2",
        f"{wide} train.accumulation=4",
        "model.attention=auto train.accumulation=4",
        f"{wide} model.remat=full",
        "model.attention=auto model.remat=full",
        f"{wide} model.remat=full train.accumulation=2",
        "model.attention=auto model.remat=full train.accumulation=2",
        f"{wide} model.remat=full train.accumulation=4",
        "model.attention=auto model.remat=full train.accumulation=4",
    ]


def test_where_no_flash_kernel_takes_the_sizes_scores_may_be_computed_again():
    found = _candidates({"train.batch_size": 4}, _tpus("v5e:2x2"), data=4)
    wide = "mesh.data=1 mesh.fsdp=-1"
    assert found[:5] == [
        wide,
        f"{wide} model.remat=attention",
        "model.remat=attention",
        f"{wide} model.remat=dots",
        "model.remat=dots",
    ]
    # Its tokens divide over two and over four, as micro-batches of one row.
    assert found[-2:] == [
        "mesh.context=2 mesh.data=1 mesh.fsdp=-1 model.remat=full train.accumulation=2",
        "mesh.context=4 mesh.data=1 mesh.fsdp=-1 model.remat=full train.accumulation=4",
    ]


def test_a_width_that_the_devices_do_not_divide_gets_the_widest_fsdp_that_does():
    # 8 devices, of which 4 divide 36.
    found = _candidates({"model.width": 36, "model.heads": 1}, _tpus("v5e:2x4"), data=8)
    assert found[0] == "mesh.fsdp=4"
    # As wide as can be: what is left is tried with the mesh as it is.
    found = _candidates({"model.width": 36, "model.heads": 1, "mesh.fsdp": 4}, _tpus("v5e:2x4"), data=2, fsdp=4)
    assert found[0] == "model.remat=attention"
    assert "train.accumulation=2" in found[2]


def test_the_users_own_tensor_and_context_stay():
    values = {"mesh.tensor": 2, "mesh.context": -1, "mesh.data": 2, "model.remat": "full"}
    found = _candidates(values, _tpus("v5e:2x4"), data=2, tensor=2, context=2)
    # What was free is given, since only one size may be.
    assert found[0] == "mesh.context=2 mesh.data=1 mesh.fsdp=-1"
    assert not any("tensor" in flags for flags in found)


def test_of_several_slices_each_keeps_a_replica():
    values = {"mesh.replica": -1, "mesh.data": 1, "model.remat": "full", "train.batch_size": 8}
    assert _candidates(values, _tpus("v5e:2x2*2"), replica=8)[0] == "mesh.replica=2 mesh.fsdp=-1"


@pytest.mark.long
def test_advice_that_is_followed_fits(monkeypatch):
    """Compiled for a slice, each program once. Many pieces and many rows, so that state and activations can shrink."""
    where = _tpus("v5e:2x2")
    monkeypatch.setattr(build, "build", functools.cache(build.build))
    config = small.config({"model.depth": 1, "text.vocab_size": 16_384, "train.batch_size": 1024})
    plan = report.make(config, where)

    def advised(usable: int) -> advise.Advice:
        short = dataclasses.replace(plan, usable_bytes=usable)
        device = dataclasses.replace(where.device, usable_bytes=usable)
        monkeypatch.setitem(topology.hardware.DEVICES, "v5e", device)
        slice_ = topology.parse("v5e:2x2")
        advice = advise.find(config, slice_, short)
        assert advice.change is not None
        followed = report.make(_followed(config, advice.change.flags), slice_)
        assert followed.fits
        assert followed.memory.peak == advice.change.bytes_per_device
        return advice

    first = advised(plan.memory.peak - 1)
    assert first.change.flags == "--config.mesh.data=1 --config.mesh.fsdp=-1"
    second = advised(first.change.bytes_per_device - 1)
    assert first.change in second.tried
    assert first.change.flags in second.change.flags


def test_a_step_that_does_not_fit_gets_the_change_that_makes_it_fit(plan, monkeypatch):
    # A little less than it needs; half the rows at a time need much less.
    usable = int(0.9 * plan.memory.peak)
    small_device.use(monkeypatch, memory=usable)
    # Nothing but accumulation is left to change, on one device.
    config, where = small.config(ROWS | {"model.remat": "full"}), small_device.topology()
    short = dataclasses.replace(plan, usable_bytes=usable)
    assert not short.fits
    advice = advise.find(config, where, short)
    assert advice.change is not None
    assert advice.change.flags == "--config.train.accumulation=2"
    assert advice.change.bytes_per_device <= usable
    assert advice.tried == advice.untried == ()
    assert f"to make it fit: {advice.change.flags}" in advice.text()
    assert f"at least {advice.change.seconds:.3g} s a step" in advice.text()


def test_the_quickest_of_those_that_fit_is_told(plan, monkeypatch):
    """What waits for the links may be beaten by what computes more; what does not is the end of it."""
    short = dataclasses.replace(plan, usable_bytes=plan.memory.peak - 1)

    def needs(config):
        remat, parts = config.model.remat, config.train.accumulation
        fits = remat == "full" or parts > 1
        return plan.memory.peak - fits, 1.0, 1.5 * parts

    asked = _plans(monkeypatch, short, needs)
    advice = advise.find(small.config(ROWS), small_device.topology(), short)
    assert [(config.model.remat, config.train.accumulation) for config in asked] == [
        ("attention", 1),
        ("dots", 1),
        ("dots", 2),
        ("full", 1),
    ]
    assert advice.change == advise.Change("--config.model.remat=full", plan.memory.peak - 1, 1.5)
    assert [change.seconds for change in advice.tried] == [1.5, 1.5, 3.0]

    asked = _plans(monkeypatch, short, lambda _: (plan.memory.peak - 1, 1.0, 0.5))
    assert (
        advise.find(small.config(ROWS), small_device.topology(), short).change.flags == "--config.model.remat=attention"
    )
    assert len(asked) == 1


def test_what_accumulation_cannot_bring_low_enough_is_not_compiled(plan, monkeypatch):
    state = sum(plan.memory.state.values())
    short = dataclasses.replace(plan, usable_bytes=state + (plan.memory.peak - state) // 8 - 1)
    asked = _plans(monkeypatch, short, lambda _: (plan.memory.peak, 1.0, 0.0))
    advise.find(small.config(ROWS | {"model.remat": "full"}), small_device.topology(), short)
    assert [config.train.accumulation for config in asked] == [16]


def test_a_state_that_is_too_large_by_itself_is_not_compiled_again(plan, monkeypatch):
    small_device.use(monkeypatch, memory=plan.memory.state["params"])
    config, where = small.config(ROWS), small_device.topology()
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("compiled"))
    advice = advise.find(config, where, dataclasses.replace(plan, usable_bytes=where.device.usable_bytes))
    assert advice == advise.Advice(None, ())
    assert "take more devices" in advice.text()


def test_words_after_giving_up_say_that_not_all_was_tried(plan, monkeypatch):
    short = dataclasses.replace(plan, usable_bytes=plan.memory.peak - 1)
    asked = _plans(monkeypatch, short, lambda _: (plan.memory.peak, 1.0, 0.0))
    advice = advise.find(small.config(ROWS), small_device.topology(), short, most=2)
    assert len(asked) == len(advice.tried) == 2
    assert advice.change is None
    last = f"--config.model.remat=full --config.train.accumulation={ROWS['train.batch_size']}"
    assert advice.untried[-1] == last
    assert len(advice.untried) == 2 * int(math.log2(64)) + 1
    words = advice.text()
    assert "  tried --config.model.remat=attention: " in words
    assert f"gave up after 2 program(s), none of which fits; {len(advice.untried)} more change(s)" in words
    assert last in words
    assert "found no" not in words


def test_a_change_is_a_config():
    config = small.config()
    changed = config.with_({"model.remat": "full", "mesh.fsdp": -1, "mesh.data": 1})
    assert (changed.model.remat, changed.mesh.fsdp, changed.mesh.data) == ("full", -1, 1)
    assert changed.optim == config.optim
