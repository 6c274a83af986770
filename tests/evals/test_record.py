"""The file of figures: whole evaluators, never one twice, and nothing that breaks it."""

import dataclasses
import json
import math

import pytest

from dfjax.evals.figures import Figure
from dfjax.evals.record import Key, Record

KEY = Key(500, "distances", "train", "abc", "weights", 1)
FIGURES = [Figure("kid", 0.5, 0.1, 8), Figure("recall", 1.0, None, 8)]


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path / "eval" / "metrics.jsonl")


def test_a_figure_is_a_line_with_all_that_it_is_of(record, tmp_path):
    record.add(KEY, FIGURES)
    first, second = [json.loads(line) for line in (tmp_path / "eval" / "metrics.jsonl").read_text().splitlines()]
    assert first.pop("time") > 1e9
    assert first == {
        "step": 500,
        "name": "kid",
        "value": 0.5,
        "stderr": 0.1,
        "num_images": 8,
        "split": "train",
        "evaluator": "distances",
        "settings": "abc",
        "uses": "weights",
        "attempt": 1,
        "figures": 2,
    }
    assert second["stderr"] is None


@pytest.mark.parametrize(
    "other",
    [
        {"step": 501},
        {"evaluator": "memory"},
        {"split": "heldout"},
        {"settings": "abd"},
        {"uses": "other weights"},
        {"attempt": 2},
    ],
)
def test_only_the_very_same_is_there_already(record, other):
    record.add(KEY, FIGURES)
    assert record.has(KEY)
    assert not record.has(dataclasses.replace(KEY, **other))


def test_what_lost_a_line_is_not_all_there(record, tmp_path):
    record.add(KEY, FIGURES)
    path = tmp_path / "eval" / "metrics.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert not record.has(KEY)


def test_an_evaluator_that_could_say_nothing_is_not_asked_again(record):
    assert record.add(KEY, []) == []
    assert record.has(KEY)
    assert record.lines() == []


def test_what_is_no_line_of_ours_is_passed_over_and_only_what_was_cut_short_is_lost(record, tmp_path):
    record.add(dataclasses.replace(KEY, step=1), FIGURES)
    path = tmp_path / "eval" / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'[1]\n{"step": 2}\nnothing \xff\n{"step": 3, "na')
    assert [line["step"] for line in record.lines()] == [1, 1]
    record.add(dataclasses.replace(KEY, step=4), FIGURES)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 1, 2, 4, 4]


def test_numbers_that_json_does_not_have_are_words(record, tmp_path):
    record.add(KEY, [Figure("kid", math.nan, math.inf, 8)])
    (line,) = (tmp_path / "eval" / "metrics.jsonl").read_text().splitlines()
    said = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (said["value"], said["stderr"]) == ("nan", "inf")
