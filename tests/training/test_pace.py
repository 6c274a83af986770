"""Steps that take unusually long."""

import jax.numpy as jnp
import pytest

from dfjax.training import pace as pace_lib


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pace_lib.time, "monotonic", lambda: now[0])
    return now


def _run(clock, pace, seconds, first=1):
    said = []
    for number, each in enumerate(seconds, first):
        clock[0] += each
        said.append(pace.started(number, jnp.zeros(())))
    return said


def test_only_a_step_of_many_times_the_median_is_told_of_and_counted(clock):
    pace = pace_lib.Pace(10.0)
    assert not any(_run(clock, pace, [2.0] * 20 + [19.0] + [2.0] * 3))
    said = _run(clock, pace, [2.0, 21.0, 2.0], first=25)
    # The program is two steps ahead: what ends late is the step before the last one started.
    assert said == ["", "step 24 took 21.0 s, 10 times the usual 2 s", ""]
    assert pace.slow_steps == 1


def test_quick_steps_rests_and_a_factor_of_zero_are_never_slow(clock):
    quick, off = pace_lib.Pace(10.0), pace_lib.Pace(0.0)
    assert not any(_run(clock, quick, [0.01] * 20 + [0.9]))
    assert not any(_run(clock, off, [2.0] * 20 + [900.0]))
    clock[0] += 900.0
    quick.rest()
    assert not any(_run(clock, quick, [0.01] * 3, first=22))
    assert quick.slow_steps == off.slow_steps == 0
