"""The benchmark of training steps, at toy sizes: who runs, who is skipped, and what the tables hold."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "train_step.py"
TOY = ["--width=16", "--heads=2", "--depth=2", "--tokens=16", "--text_tokens=4", "--batch=2", "--rounds=3"]
CLOCKS = {"wall", "processor"}


def _run(folder, *words, sizes=TOY):
    out = folder / "step.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, *sizes, *words, f"--json={out}"], capture_output=True, text=True, timeout=600
    )
    return done, json.loads(out.read_text()) if out.exists() else None


@pytest.mark.long
@pytest.mark.slow
def test_our_step_alone_and_who_is_not_there_is_named(tmp_path):
    # This environment has no FlaxDiff.
    done, written = _run(tmp_path, "--only=dfjax,flaxdiff,product jax,product numpy")
    assert done.returncode == 0, done.stderr
    assert "skipped: flaxdiff does not run" in done.stderr
    assert "--flaxdiff_python=" in done.stderr
    assert set(written["tables"]) == CLOCKS
    for rows in written["tables"].values():
        ours, *products = rows
        assert [row["name"] for row in rows] == ["dfjax", "product jax", "product numpy"]
        assert ours["parameters"] > 0
        assert 0 < ours["peak_share"] < 1
        # The fastest product is the peak, though in single rounds the other may have been faster.
        assert max(products, key=lambda row: row["gflops"])["peak_share"] == 1
        assert ours["gflops"] == pytest.approx(ours["gflop_per_step"] / ours["milliseconds"] * 1e3)
    assert all(len(written["runs"]["dfjax"]["seconds"][clock]) == 3 for clock in CLOCKS)


@pytest.mark.long
@pytest.mark.slow
def test_a_recipe_is_timed_instead_of_the_sizes(tmp_path):
    recipe = SCRIPT.parents[1] / "configs" / "emoji.py"
    words = [
        f"--config={recipe}",
        "--only=dfjax",
        "--config.model.width=16",
        "--config.model.heads=2",
        "--config.train.batch_size=2",
    ]
    done, written = _run(tmp_path, *words, sizes=["--rounds=1"])
    assert done.returncode == 0, done.stderr
    (ours,) = written["tables"]["wall"]
    assert ours["milliseconds"] > 0
    assert ours["peak_share"] is None


@pytest.mark.long
@pytest.mark.parity
def test_as_much_work_as_the_network_of_diffusers(tmp_path):
    pytest.importorskip("diffusers", reason="parity tests need diffusers: pip install 'dfjax[parity]'")
    done, written = _run(tmp_path, "--only=dfjax,diffusers eager", "--width=64", "--rounds=1")
    assert done.returncode == 0, done.stderr
    ours, theirs = (written["runs"][name] for name in ("dfjax", "diffusers eager"))
    # SD3 leaves the text's half out of its last layer.
    assert 0.8 < theirs["flops"] / ours["flops"] < 1
    speed = theirs["seconds"]["wall"][0] / ours["seconds"]["wall"][0]
    assert written["tables"]["wall"][0]["speed"] == pytest.approx(speed)


def test_tokens_that_are_no_square_are_refused(tmp_path):
    done, _ = _run(tmp_path, "--tokens=250")
    assert done.returncode != 0
    assert "--tokens=256" in done.stderr + done.stdout
