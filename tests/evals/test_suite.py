"""All evaluators on the checkpoints of a small run, with features that need no network."""

import jax
import numpy as np
import pytest
from PIL import Image

from dfjax import config
from dfjax.core.registry import EVALUATORS
from dfjax.evals import bench as bench_lib
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.subject import Drawn
from dfjax.evals.suite import Suite
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import minilm
from dfjax.report import measured
from tests import small
from tests.evals.conftest import Means

NAMES = ("validation", "distances", "alignment", "memory", "heldout")


class _Words:
    """Stands in for a sentence embedding: a direction for each caption."""

    name, size, fingerprint = "words", 8, "words"

    def __call__(self, captions):
        seeds = [sum(map(ord, caption)) for caption in captions]
        return np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds]).astype(np.float32)


class _Scalars:
    """A writer that remembers."""

    def __init__(self):
        self.scalars, self.pictures = {}, {}

    def write_scalars(self, step, scalars):
        self.scalars.setdefault(step, {}).update(scalars)

    def write_images(self, step, images):
        self.pictures.setdefault(step, {}).update(images)

    def flush(self): ...
    def close(self): ...


@pytest.fixture
def make(tiny_dir, tmp_path, monkeypatch):
    """A suite in ``tmp_path``, with some keys of its config changed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bench_lib.features, "make", lambda *_, **__: Means())
    monkeypatch.setattr(minilm, "load", _Words)
    mesh = mesh_lib.make(small.config().mesh, jax.devices()[:1])

    def suite(split="", **changes):
        values = {"data.dir": tiny_dir, "eval.num_images": 12, "eval.batch_size": 5, "eval.evaluators": NAMES}
        config = small.config(values | changes)
        model = Model(small.network(values | changes))
        return Suite(Bench(config, mesh, tmp_path / "eval", split), model, _Scalars())

    return suite


@pytest.fixture
def params():
    return small.params(small.network())


def _values(lines):
    return {line["name"]: line["value"] for line in lines}


def test_a_checkpoint_is_measured_once_for_its_settings_and_shown(make, params, tmp_path):
    suite = make()
    assert not suite.is_done(7, 0)
    lines = suite.measure(params, 7, 0)
    found = _values(lines)
    assert {"validation_loss", "kid_means", "caption_rank", "nearest_training_distance", "heldout_win"} <= set(found)
    assert len([name for name in found if name.startswith("validation_loss_t=")]) == 8
    # Twelve features, and 23 real pictures.
    assert "frechet_means" not in found
    assert all(line["step"] == 7 and line["split"] == "train" and line["num_images"] > 0 for line in lines)
    assert suite.is_done(7, 0)
    assert suite.measure(params, 7, 0) == []
    assert suite._writer.scalars[7] == pytest.approx({f"eval/train/{name}": value for name, value in found.items()})
    # Another start finds it, and a step with other weights after a rollback is another.
    again = make()
    assert again.is_done(7, 0)
    assert not again.is_done(7, 1)
    assert again.record.lines() == lines
    # What was drawn is not kept.
    assert list((tmp_path / "eval" / "drawn").iterdir()) == []
    folder = tmp_path / "eval"
    # One prompt by four seeds and ten frames, 64 pixels each with gaps of 2; twelve captions of three labels.
    assert Image.open(folder / "grids" / "step_7.png").size == (4 * 66 + 2, 68)
    assert Image.open(folder / "films" / "step_7.png").size == (10 * 66 + 2, 68)
    assert Image.open(folder / "nearest" / "step_7.png").size == (6 * 66 + 2, 3 * 66 + 2)
    assert (folder / "nearest" / "step_7.json").exists()
    # What figures do not depend on may be changed.
    for changes in ({"eval.num_images": 11}, {"eval.seed": 1}, {"sample.guidance": 2.0}):
        assert not make(**changes).is_done(7, 0)
    assert not make(split="test").is_done(7, 0)
    for changes in ({"eval.batch_size": 7}, {"eval.every_steps": 10}, {"sample.prompts": ("a deer",)}):
        assert make(**changes).is_done(7, 0)


def test_of_more_evaluators_only_the_new_one_is_run(make, params, monkeypatch):
    make(**{"eval.evaluators": ("memory",)}).measure(params, 7, 0)
    both = make(**{"eval.evaluators": ("memory", "heldout")})
    assert {line["evaluator"] for line in both.measure(params, 7, 0)} == {"heldout"}


@pytest.mark.long
def test_batches_change_no_figure(make, params):
    first = _values(make(**{"eval.batch_size": 3}).measure(params, 1, 0))
    second = _values(make(**{"eval.batch_size": 12}).measure(params, 2, 0))
    assert second == pytest.approx(first, rel=1e-4, abs=1e-6)


def test_real_held_out_pictures_are_the_ceiling_once(make, params):
    suite = make()
    lines = suite.ceiling()
    assert {line["split"] for line in lines} == {"real"}
    assert {line["evaluator"] for line in lines} == {"distances", "alignment", "memory"}
    assert suite.ceiling() == make().ceiling() == []
    assert suite._writer.scalars[0]["eval/real/kid_means"] == _values(lines)["kid_means"]
    # The two splits have the same pictures: each is its own nearest one.
    assert _values(lines)["nearest_training_distance"] == pytest.approx(0, abs=1e-6)
    assert _values(lines)["precision_means"] == 1


def test_a_kill_between_evaluators_costs_only_what_was_not_said(make, params, monkeypatch):
    suite = make()

    def killed(subject):
        raise KeyboardInterrupt

    measure = suite._measures["memory"]
    suite._measures["memory"] = Measure(killed, measure.uses)
    with pytest.raises(KeyboardInterrupt):
        suite.measure(params, 7, 0)
    assert {line["evaluator"] for line in suite.record.lines()} == {"validation", "distances", "alignment"}
    assert "eval/train/caption_rank" in suite._writer.scalars[7]
    suite._measures["memory"] = measure
    assert {line["evaluator"] for line in suite.measure(params, 7, 0)} == {"memory", "heldout"}


def test_where_nothing_is_held_out_it_says_what_to_do(make):
    with pytest.raises(EvaluationError, match=r"set data.validation_split, or choose --evaluators without"):
        make(**{"data.validation_split": "", "eval.evaluators": ("heldout", "memory")})
    suite = make(**{"data.validation_split": "", "eval.evaluators": ("distances",)})
    assert suite.ceiling() == []


def test_of_the_default_evaluators_those_are_left_out_that_need_held_out_pictures(make, params, caplog):
    suite = make(**{"data.validation_split": "", "eval.evaluators": config.Eval().evaluators})
    assert "validation and heldout are left out: nothing is held out" in caplog.text
    assert {line["evaluator"] for line in suite.measure(params, 7, 0)} == {"distances", "alignment", "memory"}
    assert suite.is_done(7, 0)


def test_other_weights_of_one_evaluator_measure_only_that_one_again(make, params, monkeypatch):
    both = {"eval.evaluators": ("validation", "memory")}
    make(**both).measure(params, 7, 0)
    monkeypatch.setattr(bench_lib.features, "make", lambda *_, **__: Means("other"))
    assert {line["evaluator"] for line in make(**both).measure(params, 7, 0)} == {"memory"}


def test_what_is_drawn_otherwise_is_shown_beside_what_the_run_would_draw(make, params, tmp_path):
    make().measure(params, 7, 0)
    own = (tmp_path / "eval" / "grids" / "step_7.png").read_bytes()
    other = make(split="test")
    other.measure(params, 7, 0)
    assert other.bench.shown == tmp_path / "eval" / other.bench.settings
    assert (other.bench.shown / "nearest" / "step_7.json").exists()
    assert (tmp_path / "eval" / "grids" / "step_7.png").read_bytes() == own


def test_the_reference_file_is_of_the_split_that_is_measured(make, tmp_path):
    file = tmp_path / "statistics.safetensors"
    bench = make(split="test", **{"eval.evaluators": ("distances",)}).bench
    again = Bench(bench.config, bench.mesh, bench.folder, "test", file)
    assert len(again.train_features) == 23
    assert not file.exists()
    assert len(again.real_features) == len(again.require_heldout())
    assert file.exists()


def test_of_few_pictures_only_what_can_be_told_is_told(make, params):
    found = _values(make(**{"eval.num_images": 10, "eval.evaluators": ("distances",)}).measure(params, 7, 0))
    assert list(found) == ["kid_means"]
    with pytest.raises(EvaluationError, match=r"needs at least 4 pictures, and eval.num_images gives 3: choose more"):
        make(**{"eval.num_images": 3, "eval.evaluators": ("distances",)})


def test_what_is_drawn_for_one_split_is_not_taken_for_another_and_the_held_out_one_has_no_distance_to_itself(make):
    ours, other = make(), make(split="test")
    assert ours.bench.settings != other.bench.settings
    assert {line["evaluator"] for line in other.ceiling()} == {"alignment", "memory"}
    assert "distances" in {line["evaluator"] for line in ours.ceiling()}


def test_no_evaluators_are_wrong_use(make):
    with pytest.raises(EvaluationError, match=r"eval.evaluators names none: choose some of validation, distances"):
        make(**{"eval.evaluators": ()})


def test_lpips_compares_with_the_pictures_of_the_captions_drawn_for(make, params):
    with pytest.raises(EvaluationError, match=r"torchvision's alexnet-.*\.pth and .*alex\.pth.* as --lpips=FILE,FILE"):
        make(**{"eval.evaluators": ("lpips",)})
    suite = make(**{"eval.evaluators": ("lpips",), "eval.lpips": "alexnet.pth,alex.pth"})
    found = _values(suite.measure(params, 7, 0))
    assert list(found) == ["lpips_distance", "lpips_distance_wrong", "lpips_ratio", "lpips_win"]
    assert found["lpips_distance"] > 0
    assert 0 <= found["lpips_win"] <= 1
    # By hand: squared distances of the colours that stand in for the features.
    subject = Drawn(suite.bench, suite._sampler, params, 7, suite.bench.folder / "again")
    places, pictures = subject.heldout
    real = suite.bench.require_heldout()
    each = ((Means()(pictures) - Means()(real.pictures(places))) ** 2).sum(axis=1)
    of = np.array([real.captions[place] for place in places])
    means = [each[of == caption].mean() for caption in np.unique(of)]
    assert found["lpips_distance"] == pytest.approx(np.mean(means), rel=1e-5)


def test_clip_asks_for_its_weights(make):
    with pytest.raises(EvaluationError, match=r"name a folder with model.safetensors, .* with --clip=FOLDER"):
        make(**{"eval.evaluators": ("clip",)})


class _Brightness:
    """An evaluator of somebody's own."""

    def has_ceiling(self, bench):
        return True

    def make(self, bench, model):
        def measure(subject):
            means = subject.pictures.mean(axis=(1, 2, 3))
            yield Figure("brightness", float(means.mean()), float(means.std()), len(means), better="higher")

        return Measure(measure, "1")


def test_an_evaluator_that_a_program_registers_is_run_and_says_which_way_is_better(make, params, tmp_path):
    EVALUATORS.register("brightness", _Brightness())
    try:
        suite = make(**{"eval.evaluators": ("brightness",)})
        assert 0 < _values(suite.measure(params, 7, 0))["brightness"] < 255
        assert [line["better"] for line in (*suite.record.lines(), *suite.ceiling())] == ["higher", "higher"]
        assert suite.is_done(7, 0)
    finally:
        EVALUATORS.forget()
    # What it said can be read without it.
    said = measured.read(tmp_path / "eval" / "metrics.jsonl")
    assert (list(said.points), said.better) == ([("brightness", "train")], {"brightness": "higher"})
