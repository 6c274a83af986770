"""Small runs, written by hand."""

import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from dfjax import config as config_lib
from dfjax.core import images

PROMPTS = ["a red apple", "a green banana"]


def run(folder: pathlib.Path, **overrides: Any) -> pathlib.Path:
    """A run of 100 steps of 8 pictures at 8 pixels, that has a config and nothing else. Overrides: ``train={...}``."""
    values: dict[str, dict[str, Any]] = {
        "train": {"num_steps": 100, "batch_size": 8},
        "data": {"resolution": 8},
        "sample": {"prompts": tuple(PROMPTS)},
    }
    for section, keys in overrides.items():
        values[section] = values.get(section, {}) | keys
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config_lib.resolve(values).to_json())
    return folder


def write_lines(path: pathlib.Path, lines: list[dict[str, Any] | str]) -> None:
    """Lines of JSON, and others as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))


def training(folder: pathlib.Path, losses: dict[int, float | str]) -> None:
    """``metrics.jsonl`` of losses by step, of steps that take 0.5 s each."""
    lines = [
        {"step": step, "time": 1000.0 + step, "train/loss": loss, "train/step_seconds": 0.5, "data/bad_records": 0.0}
        for step, loss in losses.items()
    ]
    write_lines(folder / "metrics.jsonl", [*lines])


def figure(step: int, name: str, value: float | str, stderr: float | None = None, **more: Any) -> dict[str, Any]:
    """A line of ``eval/metrics.jsonl``."""
    line = {"step": step, "name": name, "value": value, "stderr": stderr, "num_images": 250, "split": "train"}
    return line | {"time": 2000.0} | more


def figures(folder: pathlib.Path, lines: list[dict[str, Any] | str]) -> None:
    write_lines(folder / "eval" / "metrics.jsonl", lines)


def checkpoint(folder: pathlib.Path, step: int, **meta: Any) -> None:
    """A checkpoint with nothing in it but what it says of itself."""
    room = folder / "checkpoints" / f"step_{step}"
    for item in ("params", "ema", "optimizer", "meta", "tokenizer"):
        (room / item).mkdir(parents=True)
    (room / "_CHECKPOINT_METADATA").write_text("{}")
    (room / "meta" / "metadata").write_text(json.dumps({"step": step} | meta))


def cells(count: int, side: int = 8, seed: int = 0) -> np.ndarray:
    """Pictures of noise, uint8 [count, side, side, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def sheet(path: pathlib.Path, pictures: np.ndarray, columns: int, **layout: int) -> None:
    """A sheet as evaluation writes it: :func:`dfjax.core.images.grid`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(images.grid(pictures, columns, **layout)).save(path)


def whole(folder: pathlib.Path, prompts: list[str] = PROMPTS, captions: str = "banana") -> pathlib.Path:
    """A run with all there can be, at checkpoints 50 and 100."""
    run(folder, sample={"prompts": tuple(prompts)})
    training(folder, {step: 1 / step for step in range(1, 101)})
    (folder / "parameters.txt").write_text("table\nTotal: 12,345 -- 49,380 bytes\n")
    for step in (50, 100):
        checkpoint(folder, step, train_seconds=step * 0.75)
        sheet(folder / "eval" / "grids" / f"step_{step}.png", cells(2 * len(prompts), seed=step), 2, scale=8)
        sheet(folder / "eval" / "films" / f"step_{step}.png", cells(3, seed=step), 3, scale=8)
        sheet(folder / "eval" / "nearest" / f"step_{step}.png", cells(6, seed=step), 3, scale=8)
        told = [{"prompt": prompt, "distance": 0.25, "neighbours": [captions, "plum"]} for prompt in prompts[:2]]
        (folder / "eval" / "nearest" / f"step_{step}.json").write_text(json.dumps(told))
    said = {"prompts": prompts, "seeds": 2, "resolution": 8}
    (folder / "eval" / "grids" / "prompts.json").write_text(json.dumps(said))
    figures(
        folder,
        [
            figure(50, "kid_efficientnet_lite0", 0.2, 0.01),
            figure(100, "kid_efficientnet_lite0", 0.1, 0.02),
            figure(50, "caption_top1", 0.5),
            figure(100, "caption_top1", 0.4),
            figure(0, "kid_efficientnet_lite0", -0.001, 0.002, split="real"),
        ],
    )
    return folder
