"""Pictures to look at: fixed prompts and seeds at every checkpoint, and strips from noise to picture."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from dfjax.core import images, storage
from dfjax.evals.bench import Bench, Model
from dfjax.runtime import heartbeats
from dfjax.sample import generate

_SEEDS = 4
_FRAMES = 10
# Films of more prompts would only make the sheet long.
_FILMS = 4


class Sheets:
    """Draws ``grids/step_N.png`` (prompts in rows, seeds in columns) and ``films/step_N.png`` (a row a prompt)."""

    def __init__(self, bench: Bench, model: Model):
        """The prompts are those of sample.prompts."""
        settings = bench.config.sample
        self._folder, self._resolution = bench.shown, bench.config.data.resolution
        self._prompts, self._seed = settings.prompts, bench.config.eval.seed
        away = settings.negative_prompt
        self._wanted = generate.requests(self._prompts, _SEEDS, settings.guidance, away)
        self._filmed = generate.requests(self._prompts[:_FILMS], 1, settings.guidance, away)

        def sampler(count: int, film: bool) -> generate.Sampler:
            return generate.Sampler(
                model.network,
                bench.mesh,
                settings=settings,
                batch_size=min(count, bench.config.eval.batch_size),
                film=film,
                guide=model.guide,
            )

        self._draw, self._film = sampler(len(self._wanted), False), sampler(len(self._filmed), True)

    def draw(self, params: Any, step: int) -> dict[str, np.ndarray]:
        """Draw and write both sheets. Returns them by name, uint8 [1, height, width, 3]. Every process calls this."""
        heartbeats.note("drawing sheets", step, slow=True)
        pictures, _ = self._draw(params, self._wanted, self._seed)
        last, frames = self._film(params, self._filmed, self._seed)
        strips = generate.film_strip(np.asarray(frames), last, _FRAMES)
        sheets = {
            "grids": images.grid(pictures, columns=_SEEDS, scale=self._scale()),
            "films": images.grid(strips, columns=_FRAMES, scale=self._scale()),
        }
        if jax.process_index() == 0:
            for name, sheet in sheets.items():
                save(sheet, self._folder / name / f"step_{step}.png")
            said = {"prompts": list(self._prompts), "seeds": _SEEDS, "resolution": self._resolution}
            storage.replace(self._folder / "grids" / "prompts.json", (json.dumps(said) + "\n").encode())
        return {f"eval/{name}": sheet[None] for name, sheet in sheets.items()}

    def _scale(self) -> int:
        return max(1, 64 // self._resolution)


def save(sheet: np.ndarray, path: Path) -> None:
    """Write a picture that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    Image.fromarray(sheet).save(part, format="png")
    part.replace(path)
