"""Which steps a profile is of, and what becomes of one that cannot be recorded."""

import jax
import pytest

from dfjax.training import profile


@pytest.fixture
def calls(monkeypatch):
    """Which of the profiler's two functions was called after how many steps."""
    called = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder, profiler_options: called.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: called.append("stop"))
    return called


def _take(folder, count, calls):
    """The number of calls after each step, and in the end."""
    seen = []
    with profile.steps(folder) as took:
        for _ in range(count):
            took()
            seen.append(len(calls))
    return [*seen, len(calls)]


def test_five_steps_are_recorded_after_ten(calls, tmp_path):
    assert _take(tmp_path, 17, calls) == [0] * 9 + [1] * 5 + [2] * 4
    assert calls == ["start", "stop"]


def test_a_run_that_ends_before_has_a_profile_of_what_there_was(calls, tmp_path):
    assert _take(tmp_path, 12, calls)[-2:] == [1, 2]


def test_a_run_that_fails_ends_its_profile(calls, tmp_path):
    with pytest.raises(ZeroDivisionError), profile.steps(tmp_path) as took:
        for _ in range(12):
            took()
        raise ZeroDivisionError
    assert calls == ["start", "stop"]


def test_without_a_folder_nothing_is_recorded(calls):
    assert set(_take(None, 20, calls)) == {0}


def test_too_few_steps_are_told(calls, tmp_path, caplog):
    _take(tmp_path, 9, calls)
    assert (calls, "begins at step 11, and there were 9" in caplog.text) == ([], True)


def test_a_profile_that_cannot_be_recorded_costs_no_step(calls, tmp_path, monkeypatch, caplog):
    def refuse(*_, **__):
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", refuse)
    assert set(_take(tmp_path, 20, calls)) == {0}
    assert "could not be recorded: no space left" in caplog.text
