"""dfjax train --config=RECIPE.py --workdir=RUN [--config.KEY=VALUE ...]

Trains until train.num_steps and keeps everything in RUN. The same command goes on where it was.
SIGTERM or Ctrl-C: it saves and ends with status 42; the same once more: it ends at once.
"""

from pathlib import Path

import numpy as np
from absl import flags

from dfjax.cli import app
from dfjax.core.errors import DfjaxError

_CONFIG = app.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of this one run", required=True)
_PROFILE = flags.DEFINE_bool("profile", False, "record steps 11 to 15 for the profiler of TensorBoard (XProf)")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "HOST:PORT of process 0, where several processes make one run; IPv6: [HOST]:PORT"
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", 0, "how many processes make the run")
_PROCESS_ID = flags.DEFINE_integer("process_id", -1, "which of them this is, from 0")
_DISTRIBUTED = flags.DEFINE_enum(
    "distributed", "auto", ["auto", "off"], "auto: join the processes that Slurm, a TPU pod, Kubernetes or MPI started"
)

_PICTURES_PER_PROMPT = 4


def main(rest: list[str]) -> None:
    """Join the other processes, then train."""
    app.refuse_rest(rest)
    config = app.read_config(_CONFIG)
    from dfjax.checkpoint.workdir import Workdir
    from dfjax.runtime import hosts

    room = Workdir(Path(_WORKDIR.value))
    # Before there are any signs of life in what may be somebody else's folder.
    room.check()
    is_new = not room.path.exists()
    flags = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    try:
        with hosts.joined(room.heartbeats, config.hosts, *flags, find=_DISTRIBUTED.value == "auto") as request:
            app.quiet_unless_first()
            from dfjax.train import loop

            loop.train(config, room.path, hooks=(_sample_hook, _evaluate_hook), profile=_PROFILE.value, request=request)
    except DfjaxError:
        if is_new:
            room.discard_unused()
        raise


def _sample_hook(run):
    """Grids of the config's prompts, to TensorBoard and RUN/samples."""
    import jax
    from PIL import Image

    from dfjax.core import images
    from dfjax.sample import generate, restore
    from dfjax.train.hooks import Hook

    settings = run.config.sample
    if run.config.text.features or run.config.data.latent_channels:
        # Neither can a prompt become features yet, nor latents a picture.
        return Hook(0, lambda state, step: ({}, {}))
    wanted = generate.requests(settings.prompts, _PICTURES_PER_PROMPT, settings.guidance, settings.negative_prompt)
    sampler = generate.Sampler(
        run.denoiser,
        run.config,
        run.tokenizer,
        run.mesh,
        batch_size=min(len(wanted), 64),
        guide=restore.load(settings.guide, run.mesh) if settings.guide else None,
    )

    def call(state, step: int):
        pictures, _ = sampler(state.ema, wanted, seed=0)
        sheet = images.grid(pictures, columns=_PICTURES_PER_PROMPT, scale=max(1, 64 // pictures.shape[1]))
        if jax.process_index() == 0:
            folder = run.room.path / "samples"
            folder.mkdir(exist_ok=True)
            Image.fromarray(sheet).save(folder / f"step_{step}.png")
        return {}, {"samples": np.asarray(sheet)[None]}

    return Hook(run.config.train.sample_every_steps, call)


def _evaluate_hook(run):
    """The evaluators of the config's eval section; nothing where they are not wanted inside training."""
    from dfjax.train.hooks import Hook

    if not run.config.eval.every_steps or run.source is None:
        return Hook(0, lambda state, step: ({}, {}))
    from dfjax.evals import training

    return training.hook(run)
