"""A few hundred hostile inputs to each target, the same each time. `python -m tests.fuzz` gives more."""

import pytest

from tests.fuzz import engine, targets


@pytest.mark.parametrize("name", targets.TARGETS)
def test_hostile_inputs_are_used_or_refused_in_words(name):
    result = engine.run(name, seed=0, examples=60 if name == "checkpoints" else 200)
    assert not result.failure, result.failure
    # Or they were all so wrong that little was tried.
    assert 0 < result.used < result.inputs


def test_a_fault_is_found_and_shrunk(monkeypatch):
    def fails_on_a(text: str) -> bool:
        assert "a" not in text
        return True

    monkeypatch.setitem(targets.TARGETS, "captions", targets.Target(targets.TARGETS["captions"].inputs, fails_on_a))
    assert "fails_on_a" in engine.run("captions", seed=0, examples=300).failure
