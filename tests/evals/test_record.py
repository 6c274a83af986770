"""The file of figures: whole evaluators, never one twice, and nothing that breaks it."""

import json
import math

import pytest

from dfjax.evals.figures import Figure
from dfjax.evals.record import Record

FIGURES = [Figure("kid", 0.5, 0.1, 8), Figure("recall", 1.0, None, 8)]


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path / "eval" / "metrics.jsonl")


def test_a_figure_is_a_line_with_all_that_it_is_of(record, tmp_path):
    record.add(500, "distances", "train", "abc", 1, FIGURES)
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
        "attempt": 1,
    }
    assert second["stderr"] is None


@pytest.mark.parametrize(
    "other",
    [
        {"step": 501},
        {"evaluator": "memory"},
        {"split": "heldout"},
        {"settings": "abd"},
        {"attempt": 2},
    ],
)
def test_only_the_very_same_is_there_already(record, other):
    said = {"step": 500, "evaluator": "distances", "split": "train", "settings": "abc", "attempt": 1}
    record.add(*(said[key] for key in ("step", "evaluator", "split", "settings", "attempt")), FIGURES)
    assert record.has(**said)
    assert not record.has(**(said | other))


def test_what_is_no_line_of_ours_is_passed_over_and_kept_out(record, tmp_path):
    record.add(1, "distances", "train", "abc", 0, FIGURES)
    path = tmp_path / "eval" / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'[1]\n{"step": 2}\nnothing \xff\n{"step": 3, "na')
    assert [line["step"] for line in record.lines()] == [1, 1]
    record.add(4, "distances", "train", "abc", 0, FIGURES)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 1, 4, 4]


def test_numbers_that_json_does_not_have_are_words(record, tmp_path):
    record.add(1, "distances", "train", "abc", 0, [Figure("kid", math.nan, math.inf, 8)])
    (line,) = (tmp_path / "eval" / "metrics.jsonl").read_text().splitlines()
    said = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (said["value"], said["stderr"]) == ("nan", "inf")
