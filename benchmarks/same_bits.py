"""Whether two trees of dfjax train to the same bits and draw the same pictures.

    python benchmarks/same_bits.py --old=CHECKOUT [--data_dir=DIR]

CHECKOUT is a checkout of another commit, run by this Python. Both train `configs/emoji.py` cut to 30 steps, and a
small MMDiT on synthetic latents for 20 (each in a process of its own, without a compilation cache), and draw. Compared
are all arrays of the last checkpoint, and the pictures. Then this tree resumes the other's run from its step 20, draws
from its last checkpoint and evaluates it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from absl import app, flags
from absl import logging as absl_logging
from PIL import Image

from dfjax.checkpoint.store import Checkpoints

_OLD = flags.DEFINE_string("old", None, "a checkout of the other commit", required=True)
_DATA = flags.DEFINE_string("data_dir", "", "folder with emoji_captions, built if missing; empty: a temporary one")

NEW = Path(__file__).resolve().parent.parent
EMOJI = (
    "--config=configs/emoji.py",
    "--config.train.num_steps=30",
    "--config.optim.warmup_steps=5",
    "--config.train.checkpoint_every_steps=20",
    "--config.train.tensorboard=False",
    "--config.sample.steps=4",
)
MMDIT = (
    "--config=configs/mmdit_2b_512.py",
    "--config.train.num_steps=20",
    "--config.train.batch_size=8",
    "--config.train.checkpoint_every_steps=10",
    "--config.train.tensorboard=False",
    "--config.optim.warmup_steps=5",
    "--config.optim.learning_rate=1e-3",
    "--config.optim.ema_stds=(0.05, 0.1)",
    "--config.data.resolution=128",
    "--config.text.features=96",
    "--config.text.max_tokens=16",
    "--config.model.width=64",
    "--config.model.depth=2",
    "--config.model.heads=4",
    "--config.diffusion.learned_variance=True",
)


def dfjax(tree: Path, *words: str) -> None:
    """A command of one tree; its last words, where it fails."""
    environment = os.environ | {"PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "dfjax.cli.main", *words], cwd=tree, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"dfjax {' '.join(words)}\nin {tree.name} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )


def arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, by item and path."""
    found = {}
    with Checkpoints(run / "checkpoints") as checkpoints:
        for item in ("params", "ema", "optimizer", "averages"):
            if not (run / "checkpoints" / f"step_{step}" / item).exists():
                continue
            shapes = checkpoints.array_shapes(step, item)
            for path, leaf in jax.tree_util.tree_leaves_with_path(checkpoints.arrays(step, {item: shapes})[item]):
                found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def compare(what: str, old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> bool:
    """Print in how many arrays two checkpoints differ; whether in none."""
    other = [name for name in old if name not in new or not np.array_equal(old[name], new[name], equal_nan=True)]
    missing = sorted(old.keys() ^ new.keys())
    size = sum(leaf.size for leaf in old.values())
    print(f"{what}: {len(old)} arrays, {size:,} numbers, {len(other)} differ {other[:3]}, {len(missing)} unmatched")
    return not other and not missing


def levels(what: str, old: Path, new: Path) -> bool:
    """Print by how many levels of 255 two pictures differ at most; whether by at most one."""
    a, b = (np.asarray(Image.open(path)).astype(int) for path in (old, new))
    most = int(np.abs(a - b).max()) if a.shape == b.shape else 255
    print(f"{what}: {a.shape[1]} x {a.shape[0]} pixels, at most {most} levels of 255 apart")
    return most <= 1


def main(rest: list[str]) -> None:
    """Train, draw and compare; ends with status 1 where anything differs."""
    del rest
    absl_logging.set_verbosity(absl_logging.ERROR)
    old = Path(_OLD.value).resolve()
    same = []
    with tempfile.TemporaryDirectory(prefix="dfjax-bits-") as temporary:
        folder = Path(temporary)
        data = _DATA.value or str(folder / "tfds")
        place = f"--config.data.dir={data}"
        dfjax(NEW, "data", "build", "--config=configs/emoji.py", place)
        draw = ("--prompt=a red apple", "--prompt=a green banana", "--num=2", "--seed=3", "--steps=6")
        for tree, name in ((old, "old"), (NEW, "new")):
            dfjax(tree, "train", *EMOJI, place, f"--workdir={folder / name}", "--compilation_cache=off")
            dfjax(tree, "train", *MMDIT, f"--workdir={folder / name}-mmdit", "--compilation_cache=off")
            dfjax(tree, "sample", f"--workdir={folder / name}", *draw, f"--out={folder / name}.png")
        same.append(compare("emoji, 30 steps", arrays(folder / "old", 30), arrays(folder / "new", 30)))
        same.append(compare("mmdit, 20 steps", arrays(folder / "old-mmdit", 20), arrays(folder / "new-mmdit", 20)))
        same.append(levels("drawn", folder / "old.png", folder / "new.png"))

        dfjax(NEW, "sample", f"--workdir={folder / 'old'}", *draw, f"--out={folder / 'old-by-new.png'}")
        same.append(
            levels("drawn by this tree from the other's checkpoint", folder / "old.png", folder / "old-by-new.png")
        )
        dfjax(
            NEW, "evaluate", f"--workdir={folder / 'old'}", "--step=latest", "--num_images=16", "--num_real=32",
            "--evaluators=validation,distances",
        )  # fmt: skip
        figures = (folder / "old" / "eval" / "metrics.jsonl").read_text().splitlines()
        print(f"evaluated by this tree: {len(figures)} figures")
        expected = arrays(folder / "old", 30)
        shutil.rmtree(folder / "old" / "checkpoints" / "step_30")
        dfjax(NEW, "train", *EMOJI, place, f"--workdir={folder / 'old'}", "--compilation_cache=off")
        same.append(compare("resumed by this tree from step 20", expected, arrays(folder / "old", 30)))
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    app.run(main)
