"""Curves of training: what a file may hold, the clock, and curves of many points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.core import jsonl
from dfjax.report import curves
from dfjax.report.curves import Clock, Curve
from tests.report import made_up


def _read(tmp_path, said):
    made_up.write_lines(tmp_path / "metrics.jsonl", said)
    return curves.read(tmp_path / "metrics.jsonl")


def test_every_name_of_every_line_is_a_curve(tmp_path):
    found = _read(
        tmp_path, [{"step": 1, "time": 5.0, "a": 2.0}, {"step": 1, "time": 6.0, "b": 3}, {"step": 2, "a": 1e-9}]
    )
    assert (found["a"].steps, found["a"].values, found["b"].values) == ([1, 2], [2.0, 1e-9], [3.0])
    assert found["a"].times[0] == 5.0
    assert math.isnan(found["a"].times[1])
    assert set(found) == {"a", "b"}


def test_numbers_that_are_words_are_read_and_other_words_are_not(tmp_path):
    found = _read(tmp_path, [{"step": 1, "a": "nan", "b": "inf", "c": "-inf", "d": "often", "e": True, "f": None}])
    assert math.isnan(found["a"].values[0])
    assert (found["b"].values, found["c"].values) == ([math.inf], [-math.inf])
    assert set(found) == {"a", "b", "c"}


def test_what_is_cut_or_no_line_of_ours_is_passed_over(tmp_path):
    odd = ["", "[1]", "7", '{"step": -1, "a": 9}', '{"step": "1", "a": 9}', '{"a": 9}', "[" * 100_000, '{"step": 3, "a']
    found = _read(tmp_path, [{"step": 1, "a": 1.0}, *odd, {"step": 2, "a": 2.0}, '{"step": 3, "a": 3'])
    assert (found["a"].steps, found["a"].values) == ([1, 2], [1.0, 2.0])
    assert curves.read(tmp_path / "missing.jsonl") == {}


def test_a_step_that_is_said_twice_counts_as_it_was_said_last(tmp_path):
    found = _read(tmp_path, [{"step": s, "a": float(s)} for s in (1, 2, 3)] + [{"step": 3, "a": 30.0}])
    assert found["a"].values == [1.0, 2.0, 30.0]


def test_a_run_that_went_back_says_later_steps_anew(tmp_path):
    said = [{"step": s, "a": 1.0} for s in (10, 20, 30, 40)] + [{"step": 25, "a": 2.0}, {"step": 35, "a": 3.0}]
    assert _read(tmp_path, said)["a"].steps == [10, 20, 25, 35]


def test_the_clock_counts_steps_alone(tmp_path):
    curve = Curve([10, 20], [0.5, 0.25], [1000.0, 99_000.0])
    clock = Clock({"train/step_seconds": curve, "a": curve})
    assert clock.at([0, 10, 15, 20]) == [0.0, 5.0, 6.25, 7.5]


def test_without_seconds_of_steps_the_clock_is_that_of_the_lines():
    assert Clock({"a": Curve([10, 20], [1.0, 1.0], [1000.0, 1004.0])}).at([10, 15, 20]) == [0.0, 2.0, 4.0]
    assert Clock({"a": Curve([1], [1.0], [math.nan])}).at([1]) is None
    assert Clock({}).at([1]) is None


def test_a_curve_with_few_points_is_left_as_it_is():
    thin = curves.thin(Curve([1, 2, 3], [0.1234567891, math.nan, 2.0], [0.0] * 3), 3)
    assert (thin.steps, thin.values, thin.each, thin.low) == ([1, 3], [0.1234567891, 2.0], 1, [])
    assert thin.not_finite == [2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=200), st.integers(2, 4))
def test_a_curve_of_many_keeps_its_end_and_what_sticks_out(values, limit):
    thin = curves.thin(Curve(list(range(len(values))), values, [0.0] * len(values)), limit)
    assert len(thin.values) <= limit
    assert thin.steps[-1] == len(values) - 1
    assert min(thin.low) == pytest.approx(min(values), rel=1e-5)
    assert max(thin.high) == pytest.approx(max(values), rel=1e-5)
    first = values[: thin.each]
    assert thin.values[0] == pytest.approx(sum(first) / len(first), rel=1e-4, abs=1e-4)


def test_a_step_is_a_whole_number_from_zero():
    assert [jsonl.step(each) for each in (0, 7, 7.0, 7.5, -1, True, "7", None, 1e300, 10**400)] == [
        0, 7, 7, None, None, None, None, None, None, None
    ]  # fmt: skip
