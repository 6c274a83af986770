"""Train and sample as a user would, on a small run."""

import json

import numpy as np
import pytest
from PIL import Image

from dfjax import config
from tests import command
from tests.cli.conftest import DAMAGED, OVERRIDES


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_keeps_everything_in_its_folder(trained):
    room, done = trained
    assert room.steps() == [6]
    assert config.from_json(room.config.read_text()).train.num_steps == 6
    names = {path.name for path in room.path.iterdir()}
    assert {"tokenizer.model", "parameters.txt", "metrics.jsonl", "samples", "bad_records.jsonl"} <= names
    assert Image.open(room.path / "samples" / "step_6.png").size[0] > 4 * 64
    assert "is new" in done.stderr
    assert done.stdout == ""


@pytest.mark.gate(1)
@pytest.mark.parametrize("wanted", [False, True])
def test_tensorflow_is_loaded_only_for_files_of_tensorboard(wanted, damaged, tmp_path):
    words = command.train(tmp_path / "run", damaged, *OVERRIDES, f"train.tensorboard={wanted}")
    process = command.start(*words, program=("-X", "importtime", *command.DFJAX))
    ((status, said),) = command.ends([process])
    assert status == 0, said[-2000:]
    assert ("tensorflow" in {line.split("|")[-1].strip() for line in said.splitlines()}) == wanted
    assert any((tmp_path / "run").glob("events.out.tfevents*")) == wanted


def test_progress_is_shown_and_every_scalar_is_in_the_metrics(trained):
    room, done = trained
    for step in (2, 4, 6):
        assert f"step {step}/6  loss" in done.stderr
    scalars = {step: {} for step in (0, 2, 3, 4, 6)}
    for line in _lines(room.metrics):
        scalars[line["step"]] |= line
    assert {"train/compile_seconds"} <= set(scalars[0])
    wanted = {"train/loss", "train/grad_norm", "train/images_per_second", "train/step_seconds", "train/images_seen"}
    for step in (2, 4, 6):
        assert wanted <= set(scalars[step])
        assert np.isfinite(scalars[step]["train/loss"])
    levels = [name for name in scalars[3] if name.startswith("validation/loss_t=")]
    assert len(levels) == 8
    assert scalars[3]["validation/loss"] == pytest.approx(np.mean([scalars[3][name] for name in levels]))
    assert "validation/loss" in scalars[6]
    assert "validation/loss" not in scalars[2]


def test_damaged_records_are_replaced_counted_and_listed(trained):
    room, done = trained
    listed = _lines(room.bad_records)
    ids = {line["id"] for line in listed}
    assert len(ids) == len(listed)
    # Of the training records as well as of those for the validation loss.
    for split in ("train", "test"):
        assert sum(name.startswith(f"tiny_labelled/{split}[") for name in ids) == len(DAMAGED)
    assert all("no picture in PNG" in line["reason"] for line in listed)
    counts = [line["data/bad_records"] for line in _lines(room.metrics) if "data/bad_records" in line]
    assert counts[-1] == len(listed)
    assert done.stderr.count("was replaced") == len(listed)


def test_a_finished_run_says_so_and_changes_nothing(trained, damaged):
    room, _ = trained
    before = room.metrics.read_bytes()
    again = command.dfjax(*command.train(room.path, damaged, *OVERRIDES))
    assert again.returncode == 0
    assert "is finished: it has all its 6 steps" in again.stderr
    assert room.metrics.read_bytes() == before


def test_a_run_is_not_resumed_with_another_network(trained, damaged):
    room, _ = trained
    done = command.dfjax(*command.train(room.path, damaged, *OVERRIDES, "model.width=64"))
    assert done.returncode == 1
    assert "was trained with another config:\n  model.width: 32 -> 64" in done.stderr
    assert "Traceback" not in done.stderr
    assert config.from_json(room.config.read_text()).model.width == 32


def test_sample_draws_a_row_for_each_prompt_and_warns_of_a_cut_one(trained, tmp_path):
    room, _ = trained
    long = "a red panda and an owl and a deer and a banana"
    out, film = tmp_path / "out.png", tmp_path / "film.png"
    done = command.dfjax(
        "sample", f"--workdir={room.path}", "--prompt=an owl", f"--prompt={long}", "--num=3", "--scale=2",
        "--sampler=euler", "--steps=3", "--guidance=2", "--seed=5", f"--out={out}", f"--film={film}",
        command.compiled(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out), str(film)]
    # Pictures of 16 pixels, each drawn with 2 x 2, with gaps of 2 around.
    assert Image.open(out).size == (3 * (32 + 2) + 2, 2 * (32 + 2) + 2)
    assert Image.open(film).size == (10 * (32 + 2) + 2, 2 * (32 + 2) + 2)
    assert done.stderr.count("is longer than text.max_tokens=8") == 1
    assert repr(long) in done.stderr


@pytest.mark.gate(2)
@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--sampler=heum", "did you mean 'heun'?"),
        ("--step=5", "no checkpoint of step 5; it has 6"),
        ("--out=missing/x.png", "there is no folder"),
        ("--sampler=dpmpp_2m --eta=0.5", "'sample.eta': the sampler dpmpp_2m takes none"),
        ("--guidance=2 --guidance=3", "--guidance is given 2 times: give it once, or once for each of 1 prompts"),
        ("--strength=0.5", "name it with --image=PICTURE"),
        ("--image=none.png", "--image=none.png is no picture that can be read"),
        ("--guide=. --negative_prompt=red", "both say what guidance leads away from"),
        ("--average=0.1", "has no average of length 0.1: `dfjax average"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(flag, words, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command.dfjax("sample", f"--workdir={trained[0].path}", "--prompt=x", *flag.split(), command.compiled())
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_sample_draws_inside_a_mask_and_keeps_the_rest(trained, tmp_path):
    room, _ = trained
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 255
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "out.png"
    done = command.dfjax(
        "sample", f"--workdir={room.path}", "--prompt=an owl", "--prompt=a banana", "--num=1", "--scale=1",
        f"--image={tmp_path / 'picture.png'}", f"--mask={tmp_path / 'mask.png'}", "--sampler=dpmpp_2m_sde",
        "--steps=3", "--grid=log_snr", "--guidance=2", "--guidance=3", "--guidance_interval=0.2,1",
        f"--guide_step={room.steps()[-1]}", f"--guide={room.path}", f"--out={out}", command.compiled(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    drawn = np.asarray(Image.open(out))
    for top in (2, 20):
        # The mask is resized, which softens its edge.
        np.testing.assert_array_equal(drawn[top + 10 : top + 16, 2:18], pixels[10:])
        assert (drawn[top : top + 8, 2:18] != pixels[:8]).any()


def test_a_recipe_whose_prediction_and_schedule_do_not_go_together_starts_nothing(damaged, tmp_path):
    done = command.dfjax(*command.train(tmp_path / "run", damaged, "diffusion.prediction=eps"))
    assert done.returncode == 2
    assert "'eps' leaves the clean picture undefined at t = 1" in done.stderr
    assert not (tmp_path / "run").exists()
