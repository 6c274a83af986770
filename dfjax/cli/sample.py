"""dfjax sample --workdir=RUN --prompt="a red apple" [--prompt=...] [--out=x.png]

Draws each prompt in a row of its own. Prints the paths of the pictures.
"""

import dataclasses
import logging
import time

from absl import flags

from dfjax.cli import app

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of a trained run", required=True)
_PROMPT = flags.DEFINE_multi_string("prompt", None, "what to draw; may be given several times", required=True)
_SAMPLER = flags.DEFINE_string("sampler", None, "ddim, euler or heun; by default the run's sample.sampler")
_STEPS = flags.DEFINE_integer("steps", None, "solver steps; by default the run's sample.steps", lower_bound=1)
_GUIDANCE = flags.DEFINE_float(
    "guidance", None, "guidance scale, 1 for none; by default the run's sample.guidance", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "seed of the noise", lower_bound=0, upper_bound=2**31 - 1)
_NUM = flags.DEFINE_integer("num", 4, "pictures per prompt", lower_bound=1)
_STEP = flags.DEFINE_integer("step", None, "training step of the checkpoint; by default the newest")
_SCALE = flags.DEFINE_integer("scale", 2, "screen pixels per pixel in the picture", lower_bound=1)
_OUT = flags.DEFINE_string("out", "samples.png", "picture to write")
_FILM = flags.DEFINE_string("film", "", "also write a strip of the first picture of each prompt, from noise to picture")

_log = logging.getLogger(__name__)
_FRAMES = 10


def main(rest: list[str]) -> None:
    """Load, draw, write."""
    app.refuse_rest(rest)
    started = time.monotonic()
    from PIL import Image

    from dfjax import config as config_lib
    from dfjax.core import images
    from dfjax.parallel import mesh as mesh_lib
    from dfjax.sample import generate, restore

    for path in filter(None, (_OUT.value, _FILM.value)):
        app.check_picture_path(path)
    mesh = mesh_lib.make(config_lib.Mesh())
    trained = restore.load(_WORKDIR.value, mesh, _STEP.value)
    wishes = {"sampler": _SAMPLER.value, "steps": _STEPS.value, "guidance": _GUIDANCE.value}
    chosen = dataclasses.asdict(trained.config.sample) | {k: v for k, v in wishes.items() if v is not None}
    settings = config_lib.resolve({"sample": chosen}).sample

    wanted = generate.requests(_PROMPT.value, _NUM.value, settings.guidance)
    sampler = generate.Sampler(
        trained.denoiser,
        trained.config,
        trained.tokenizer,
        mesh,
        settings=settings,
        batch_size=min(len(wanted), 64),
        film=bool(_FILM.value),
    )
    pictures, frames = sampler(trained.params, wanted, _SEED.value)
    Image.fromarray(images.grid(pictures, columns=_NUM.value, scale=_SCALE.value)).save(_OUT.value)
    _log.info("drew %d pictures in %.1f s, start-up included", len(pictures), time.monotonic() - started)
    print(_OUT.value)
    if frames is not None:
        strip = generate.film_strip(frames[:, :: _NUM.value], pictures[:: _NUM.value], _FRAMES)
        Image.fromarray(images.grid(strip, columns=_FRAMES, scale=_SCALE.value)).save(_FILM.value)
        print(_FILM.value)
