"""Figures of checkpoints: which of several counts, which is best, and what the table and its JSON say."""

import json
import math

import pytest

from dfjax.report import best, measured, run, table, tables, words
from dfjax.report.measured import Point
from tests.report import made_up
from tests.report.made_up import figure

KID = "kid_efficientnet_lite0"


def _table(tmp_path, lines, wish="", losses=None):
    room = made_up.run(tmp_path / "run")
    made_up.figures(room, lines)
    if losses:
        made_up.write_lines(room / "metrics.jsonl", [{"step": s, "validation/loss": v} for s, v in losses.items()])
    return table.make([run.read(room)], wish)


def _measured(tmp_path, lines):
    made_up.write_lines(tmp_path / "metrics.jsonl", lines)
    return measured.read(tmp_path / "metrics.jsonl")


def test_of_two_figures_of_a_checkpoint_the_later_counts(tmp_path):
    found = _measured(tmp_path, [figure(20, "a", 1.0), figure(10, "a", 5.0), figure(20, "a", 2.0, 0.5), '{"step": 30'])
    assert found.points == {("a", "train"): [Point(10, 5.0, None, 250), Point(20, 2.0, 0.5, 250)]}
    assert found.left_out == 0


def test_what_a_run_left_behind_when_it_went_back_is_not_on_its_curve(tmp_path):
    before = [figure(step, "a", 9.0, attempt=0) for step in (10, 20, 25, 30)]
    again = [figure(step, "a", 1.0, attempt=1) for step in (20, 40)]
    found = _measured(tmp_path, before + again)
    assert [(point.step, point.value) for point in found.points["a", "train"]] == [(10, 9.0), (20, 1.0), (40, 1.0)]


def test_figures_of_other_settings_are_not_on_one_curve(tmp_path):
    old = [figure(step, "a", 1.0, settings="old") for step in (10, 20, 30)]
    new = [figure(step, "a", 2.0, settings="new") for step in (10, 20)]
    found = _measured(tmp_path, old + new)
    assert [point.value for point in found.points["a", "train"]] == [1.0] * 3
    assert found.left_out == 2
    # As many of both: the later ones.
    found = _measured(tmp_path, [*old, *new, figure(30, "a", 2.0, settings="new")])
    assert [point.value for point in found.points["a", "train"]] == [2.0] * 3


def test_real_pictures_need_no_step_and_are_no_checkpoint(tmp_path):
    line = figure(0, "a", 0.5, 0.1, split="real")
    del line["step"]
    found = _measured(tmp_path, [line, figure(10, "a", 1.0)])
    assert list(found.points) == [("a", "train")]
    assert found.real == {("a", "train"): Point(0, 0.5, 0.1, 250)}


def test_all_figures_of_a_split_are_of_one_way_to_measure_and_so_are_those_of_real_pictures(tmp_path):
    old = [figure(step, name, 1.0, settings="old") for step in (10, 20) for name in ("a", "b")]
    # One name more often by the new way, which does not make the others its own.
    new = [figure(step, "a", 2.0, settings="new") for step in (10, 20, 30)]
    real = [figure(0, "a", value, split="real", settings=way) for way, value in (("new", 0.2), ("old", 0.1))]
    found = _measured(tmp_path, old + new + real)
    assert found.settings == {"train": "new"}
    assert list(found.points) == [("a", "train")]
    assert found.real["a", "train"].value == 0.2
    assert found.left_out == 4


def test_figures_by_other_weights_are_not_on_one_curve(tmp_path):
    old = [figure(step, "clip", 1.0) | {"uses": "old"} for step in (10, 20)]
    new = [figure(step, "clip", 2.0) | {"uses": "new"} for step in (20, 30)]
    real = [figure(0, "clip", value, split="real") | {"uses": way} for way, value in (("new", 0.2), ("old", 0.1))]
    found = _measured(tmp_path, [*old, *new, figure(10, "a", 5.0), *real])
    assert [(point.step, point.value) for point in found.points["clip", "train"]] == [(20, 2.0), (30, 2.0)]
    assert found.real["clip", "train"].value == 0.2
    assert [point.value for point in found.points["a", "train"]] == [5.0]


def test_the_page_says_where_runs_were_not_measured_alike(tmp_path):
    for name, settings, count in (("one", "s", 250), ("two", "t", 64)):
        made_up.figures(made_up.run(tmp_path / name), [figure(10, KID, 0.1, settings=settings) | {"num_images": count}])
    both = run.read_all([tmp_path / "one", tmp_path / "two"])
    assert "not measured alike" in tables.figures(table.make(both))
    assert "one 250 pictures, two 64 pictures" in tables.figures(table.make(both))
    assert "not measured alike" not in tables.figures(table.make(both[:1]))


@pytest.mark.parametrize(
    ("way", "names"),
    [
        (
            "lower",
            [KID, "frechet_inception", "validation/loss", "validation_loss_t=0.06", "caption_rank"],
        ),
        ("lower", ["heldout_distance", "heldout_ratio", "lpips_distance", "lpips_ratio"]),
        (
            "higher",
            ["precision_x", "recall_x", "density_x", "coverage_x", "caption_rank1", "caption_top5", "clip_score"],
        ),
        ("higher", ["heldout_win", "lpips_win", "recall_at_5", "train/images_per_second"]),
        (
            None,
            [
                "nearest_training_distance",
                "near_copies",
                "caption_rank_chance",
                "lpips_distance_wrong",
                "heldout_distance_wrong",
                "train/grad_norm",
                "anything",
            ],
        ),
    ],
)
def test_a_name_says_which_way_is_better(way, names):
    assert [best.direction(name) for name in names] == [way] * len(names)


@pytest.mark.parametrize(("said", "way"), [("higher", "higher"), ("lower", "lower"), ("neither", None)])
def test_an_evaluator_may_say_itself_which_way_is_better(said, way, tmp_path):
    lines = [figure(step, "kid_mine", step / 10, better=said) for step in (10, 20)]
    made_up.figures(made_up.run(tmp_path / "x"), lines)
    (column,) = table.make([run.read(tmp_path / "x")]).columns
    assert (column.name, column.way) == ("kid_mine", way)


def test_the_best_is_the_least_or_the_greatest_and_errors_say_what_it_is_not_told_from():
    points = [
        Point(10, 3.0, 0.1),
        Point(20, 1.05, 0.1),
        Point(30, 1.0, 0.1),
        Point(40, math.nan, 0.1),
        Point(50, 1.3, 0.1),
    ]
    assert best.find(points, "lower") == best.Best(points[2], (20,))
    assert best.find(points, "higher") == best.Best(points[0])
    assert best.find([Point(1, 2.0), Point(2, 2.0)], "lower") == best.Best(Point(1, 2.0))
    assert best.find([Point(1, math.nan)], "lower") is None
    assert best.find(points, None) is None


def test_kid_tells_the_best_and_without_it_validation(tmp_path):
    told = [figure(10, "caption_top1", 0.1), figure(10, KID, 0.3), figure(20, KID, 0.1), figure(30, KID, 0.2)]
    found = _table(tmp_path, told)
    assert (found.headline.label, found.best[0, KID].point.step) == (KID, 20)
    assert found.columns[0].label == KID
    found = _table(tmp_path, [], losses={10: 3.0, 20: 1.0, 30: 2.0})
    assert (found.headline.label, found.best[0, "validation/loss"].point.step) == ("validation/loss", 20)


def test_any_figure_can_tell_the_best_if_there_is_one_of_its_name(tmp_path):
    told = [
        figure(10, "caption_top1", 0.9),
        figure(20, "caption_top1", 0.5),
        figure(20, KID, 0.1),
        figure(1, "odd", 1.0),
    ]
    assert _table(tmp_path, told, "caption_top1").best[0, "caption_top1"].point.step == 10
    with pytest.raises(table.ReportError, match=r"no run has 'kidd'; did you mean 'kid_efficientnet_lite0'\?"):
        _table(tmp_path, told, "kidd")
    with pytest.raises(table.ReportError, match="of 'odd' neither less nor more is better"):
        _table(tmp_path, told, "odd")
    # Nothing was measured yet, so that nobody knows what there will be.
    assert _table(tmp_path, [], "kidd").headline is None


def test_figures_of_several_splits_are_told_apart(tmp_path):
    found = _table(tmp_path, [figure(10, KID, 0.3), figure(10, KID, 0.4, split="heldout")])
    assert [column.label for column in found.columns] == [f"{KID} [train]", f"{KID} [heldout]"]
    assert {label: point.value for label, point in found.rows[0].points.items()} == {
        f"{KID} [train]": 0.3,
        f"{KID} [heldout]": 0.4,
    }


def test_of_thousands_of_validations_some_are_shown_and_the_best(tmp_path):
    losses = {step: float(abs(step - 777)) for step in range(1, 2001)}
    steps = [row.step for row in _table(tmp_path, [], losses=losses).rows]
    assert len(steps) <= 41
    assert {1, 777, 2000} <= set(steps)


def test_the_best_of_all_runs_is_known(tmp_path):
    for name, kid in (("one", 0.2), ("two", 0.1)):
        made_up.figures(made_up.run(tmp_path / name), [figure(10, KID, kid)])
    assert table.make(run.read_all([tmp_path / "one", tmp_path / "two"])).best_run == {KID: 1}


def test_the_json_has_what_the_table_has(tmp_path):
    room = made_up.whole(tmp_path / "run")
    told = table.to_json(table.make([run.read(room)]))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["best_by"] == {"name": KID, "better": "lower"}
    (one,) = told["runs"]
    assert one["best"] == {"step": 100, "value": 0.1, "stderr": 0.02, "num_images": 250, "equals": []}
    assert (one["finished"], one["step"], one["num_steps"]) == (True, 100, 100)
    assert (one["parameters"], one["images_seen"], one["train_seconds"]) == (12345, 800, 75.0)
    assert one["figures"][0] == {
        "step": 50, "name": KID, "split": "train", "value": 0.2, "stderr": 0.01, "num_images": 250
    }  # fmt: skip
    assert len(one["figures"]) == 4
    assert one["real"] == [{"name": KID, "split": "train", "value": -0.001, "stderr": 0.002, "num_images": 250}]


def test_a_figure_that_is_no_number_is_said_and_is_not_the_best(tmp_path):
    told = table.to_json(_table(tmp_path, [figure(10, KID, "nan"), figure(20, KID, "inf"), figure(30, KID, 5.0)]))
    assert [each["value"] for each in told["runs"][0]["figures"]] == ["nan", "inf", 5.0]
    assert told["runs"][0]["best"]["step"] == 30


@pytest.mark.parametrize(
    ("value", "stderr", "said"),
    [
        (0.0190196, 0.0031, "0.0190 ± 0.0031"),
        (30.82345, 0.9, "30.82 ± 0.90"),
        (12345.6, 120.0, "12,346 ± 120"),
        (0.5, None, "0.5"),
        (1.0, 0.0, "1 ± 0"),
        (math.nan, 0.1, "nan"),
        (1e-9, 1e-10, "1e-09 ± 1e-10"),
    ],
)
def test_a_value_has_as_many_places_as_its_error(value, stderr, said):
    assert words.measured(value, stderr) == said


def test_seconds_are_words():
    said = [words.seconds(each) for each in (12.4, 200, 3720, 2 * 86400 + 3 * 3600, None, math.inf)]
    assert said == ["12s", "3m20s", "1h02m", "2d03h", "unknown", "unknown"]
