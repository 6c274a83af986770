"""Lines of JSON: read past what is none, added to, forgotten, and written by a rename."""

import math
import resource

import pytest

from dfjax.core import jsonl

WRITTEN = b'{"a": 1}\n[]\nnot json\n\n{"b": "x\\u2028y"}\n\xff\n{"c": 3}\n{"d": {"e": 1}'


def test_whole_objects_are_read_in_order_and_what_a_kill_cut_is_passed_over(tmp_path):
    path = tmp_path / "x.jsonl"
    assert list(jsonl.read(path)) == list(jsonl.backwards(path)) == []
    path.write_bytes(WRITTEN)
    assert list(jsonl.read(path)) == [{"a": 1}, {"b": "x\u2028y"}, {"c": 3}]
    assert list(jsonl.backwards(path)) == [{"c": 3}, {"b": "x\u2028y"}, {"a": 1}]
    assert list(jsonl.read(path, containing=b'"c"')) == [{"c": 3}]


def test_the_end_of_a_long_file_is_read_without_the_rest(tmp_path):
    path = tmp_path / "x.jsonl"
    jsonl.write(path, ({"step": step} for step in range(20_000)))
    found = list(jsonl.backwards(path))
    assert found[0] == {"step": 19_999}
    assert len(found) < 10_000


def test_what_is_written_is_read_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "x.jsonl"
    for lines in ([{"a": 1}, {"b": [None, "\u00e9"]}], []):
        jsonl.write(path, lines)
        assert list(jsonl.read(path)) == lines
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]


def test_numbers_that_json_has_none_for_go_there_and_back():
    for value in (0.5, 3, math.inf, -math.inf):
        assert jsonl.number(jsonl.plain(value)) == value
    assert math.isnan(jsonl.number(jsonl.plain(math.nan)))
    assert [jsonl.number(each) for each in (True, None, "1", [])] == [None] * 4


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    jsonl.forget_after(path, 5)
    assert not path.exists()
    path.write_text('{"step": 5}\n{"step": 10}\n{"step": 15}\n[]\n{"step": 1')
    jsonl.forget_after(path, 10)
    assert list(jsonl.read(path)) == [{"step": 5}, {"step": 10}]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("line", ["\xff", '{"step": 1e999}', '{"step": "5"}', '{"step": null}', "7", "[" * 100_000])
def test_what_is_no_line_of_ours_is_dropped(line, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 5}\n' + line.encode("latin-1") + b'\n{"step": 6}\n')
    jsonl.forget_after(path, 10)
    assert list(jsonl.read(path)) == [{"step": 5}, {"step": 6}]


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(jsonl.LinesError, match="is no file: move it away"):
        jsonl.forget_after(tmp_path, 10)


def test_what_the_storage_does_not_take_is_written_later_and_no_line_is_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = jsonl.Lines(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    lines.add({"step": 1})
    # Room for the first line and part of the second.
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        lines.add({"step": 2})
        lines.add({"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text().count("\n") == 1
    lines.add({"step": 4})
    lines.close()
    assert [line["step"] for line in jsonl.read(path)] == [1, 2, 3, 4]
