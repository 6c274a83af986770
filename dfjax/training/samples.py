"""Grids of the config's prompts, drawn every so often: to TensorBoard, and to WORKDIR/samples."""

import jax
import numpy as np
from PIL import Image

from dfjax.core import images
from dfjax.sample import generate, restore
from dfjax.training.hooks import Hook
from dfjax.training.run import Run

_PER_PROMPT = 4
_BATCH = 64


def hook(run: Run) -> Hook:
    """What is called every ``train.sample_every_steps``; nothing where no picture can be drawn for a prompt.

    Raises:
      ConfigError, CheckpointError: the run's sample section cannot work, or its guide cannot be read.
    """
    settings = run.config.sample
    if run.network.inputs.obstacle:
        return Hook(0, lambda state, step: ({}, {}))
    wanted = generate.requests(settings.prompts, _PER_PROMPT, settings.guidance, settings.negative_prompt)
    sampler = generate.Sampler(
        run.network,
        run.mesh,
        batch_size=min(len(wanted), _BATCH),
        guide=restore.load(settings.guide, run.mesh) if settings.guide else None,
    )

    def call(state, step: int):
        pictures, _ = sampler(state.ema, wanted, seed=0)
        sheet = images.grid(pictures, columns=_PER_PROMPT, scale=max(1, 64 // pictures.shape[1]))
        if jax.process_index() == 0:
            folder = run.workdir.path / "samples"
            folder.mkdir(exist_ok=True)
            Image.fromarray(sheet).save(folder / f"step_{step}.png")
        return {}, {"samples": np.asarray(sheet)[None]}

    return Hook(run.config.train.sample_every_steps, call)
