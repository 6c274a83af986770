"""dfjax sample --workdir=RUN --prompt="a red apple" [--prompt=...] [--out=x.png]

Draws each prompt in a row of its own. Prints the paths of the pictures.

    --sampler=dpmpp_2m --grid=log_snr --steps=15        each key of the config's sample section is a flag
    --guidance=2 --guidance=5 --negative_prompt="blue"  one for all prompts, or one for each
    --image=apple.png --strength=0.6                    start from a picture (image-to-image)
    --image=apple.png --mask=hole.png                   draw anew where the mask is white (inpainting)
    --guide=RUN --guide_step=1000                       guide with a weaker model (autoguidance)
    --average=0.1                                       weights made by `dfjax average --std=0.1`
"""

import dataclasses
import logging
import time
from pathlib import Path

from absl import flags

from dfjax import config as config_lib
from dfjax.cli import app

app.define_recipe()
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of a trained run", required=True)
_PROMPT = flags.DEFINE_multi_string("prompt", None, "what to draw; may be given several times", required=True)
_GUIDANCE = flags.DEFINE_multi_float(
    "guidance",
    None,
    "guidance scale, 1 for none, for all prompts or one for each; by default the run's sample.guidance",
)
_NEGATIVE = flags.DEFINE_multi_string(
    "negative_prompt", None, "what guidance leads away from, for all prompts or one for each"
)
_IMAGE = flags.DEFINE_string("image", "", "picture to start from, cut to a square of the model's resolution")
_STRENGTH = flags.DEFINE_float(
    "strength", None, "share of the steps that change --image, above 0 and up to 1; by default 0.6, with --mask 1"
)
_MASK = flags.DEFINE_string("mask", "", "black and white picture: where it is white, --image is drawn anew")
_GUIDE_STEP = flags.DEFINE_integer("guide_step", None, "training step of the guide's checkpoint; by default the newest")
_AVERAGE = flags.DEFINE_float("average", None, "draw with the average of this length, made by `dfjax average --std=`")
_SEED = flags.DEFINE_integer("seed", 0, "seed of the noise", lower_bound=0, upper_bound=2**31 - 1)
_NUM = flags.DEFINE_integer("num", 4, "pictures per prompt", lower_bound=1)
_STEP = flags.DEFINE_integer("step", None, "training step of the checkpoint; by default the newest")
_SCALE = flags.DEFINE_integer("scale", 2, "screen pixels per pixel in the picture", lower_bound=1)
_OUT = flags.DEFINE_string("out", "samples.png", "picture to write")
_FILM = flags.DEFINE_string("film", "", "also write a strip of the first picture of each prompt, from noise to picture")

_log = logging.getLogger(__name__)
_FRAMES = 10
_SETTINGS = app.define_section("sample", ("prompts", "guidance", "negative_prompt"))


def main(rest: list[str]) -> None:
    """Load, draw, write."""
    app.refuse_rest(rest)
    started = time.monotonic()
    from PIL import Image

    from dfjax.core import images
    from dfjax.parallel import mesh as mesh_lib
    from dfjax.sample import generate, restore

    for path in (_OUT.value, _FILM.value) if _FILM.value else (_OUT.value,):
        app.check_picture_path(path)
    if _FILM.value and Path(_FILM.value).absolute() == Path(_OUT.value).absolute():
        raise app.UsageError("--film and --out name one picture; give them two names")
    if _AVERAGE.value is not None:
        app.check_length("average", _AVERAGE.value)
    mesh = mesh_lib.make(config_lib.Mesh())
    trained = restore.load(_WORKDIR.value, mesh, _STEP.value, _AVERAGE.value)
    settings = _settings(trained.network.config)
    edit = _edit(trained.network.inputs.codec.picture)
    wanted = generate.requests(
        _PROMPT.value,
        _NUM.value,
        _for_each("guidance", _GUIDANCE.value or [settings.guidance]),
        _for_each("negative_prompt", _NEGATIVE.value or [settings.negative_prompt]),
    )
    sampler = generate.Sampler(
        trained.network,
        mesh,
        settings=settings,
        batch_size=min(len(wanted), 64),
        film=bool(_FILM.value),
        guide=restore.load(settings.guide, mesh, _GUIDE_STEP.value) if settings.guide else None,
    )
    pictures, frames = sampler(trained.params, wanted, _SEED.value, edit)
    Image.fromarray(images.grid(pictures, columns=_NUM.value, scale=_SCALE.value)).save(_OUT.value)
    _log.info("drew %d pictures in %.1f s, start-up included", len(pictures), time.monotonic() - started)
    print(_OUT.value)
    if frames is not None:
        strip = generate.film_strip(frames[:, :: _NUM.value], pictures[:: _NUM.value], _FRAMES)
        Image.fromarray(images.grid(strip, columns=_FRAMES, scale=_SCALE.value)).save(_FILM.value)
        print(_FILM.value)


def _settings(config: config_lib.Config) -> config_lib.Sample:
    """The run's own settings with what the flags change.

    Raises:
      ConfigError, UsageError: they cannot be used, alone or together.
    """
    wishes = app.read_section("sample", _SETTINGS)
    if _NEGATIVE.value:
        # Any of them: whether there is one is what the config checks.
        wishes["negative_prompt"] = max(_NEGATIVE.value)
    settings = config_lib.resolve({"sample": dataclasses.asdict(config.sample) | wishes}).sample
    if _GUIDE_STEP.value is not None and not settings.guide:
        raise app.UsageError("--guide_step is the step of a guide: name its work directory with --guide=RUN")
    return settings


def _for_each(name: str, values: list) -> list:
    """One value for each prompt, where there is one for each or one for all."""
    prompts = len(_PROMPT.value)
    if len(values) not in (1, prompts):
        raise app.UsageError(
            f"--{name} is given {len(values)} times: give it once, or once for each of {prompts} prompts"
        )
    for value in values:
        # The bounds of the config's own key.
        config_lib.resolve({"sample": {name: value}})
    return values * prompts if len(values) == 1 else values


def _edit(size: tuple[int, int] | None):
    """The picture to start from, or None. Raises UsageError for flags and files that cannot be used."""
    from dfjax.sample import generate

    if not _IMAGE.value:
        for name, given in (("mask", _MASK.value), ("strength", _STRENGTH.value is not None)):
            if given:
                raise app.UsageError(f"--{name} changes a picture: name it with --image=PICTURE")
        return None
    strength = _STRENGTH.value if _STRENGTH.value is not None else 1.0 if _MASK.value else 0.6
    if not 0 < strength <= 1:
        raise app.UsageError(f"--strength must be above 0 and at most 1, not {strength}")
    if size is None:
        raise app.UsageError("this run knows no pictures, so that none can be edited: leave --image out")
    # Pictures are square by now.
    resolution = size[0]
    picture, shape = _picture("image", resolution)
    if not _MASK.value:
        return generate.Edit(picture, strength)
    mask, mask_shape = _picture("mask", resolution)
    if mask_shape[0] * shape[1] != mask_shape[1] * shape[0]:
        raise app.UsageError(
            f"--mask is {mask_shape[0]} x {mask_shape[1]} pixels and --image {shape[0]} x {shape[1]}: make them alike"
        )
    return generate.Edit(picture, strength, mask.mean(axis=-1, keepdims=True, dtype="float32") / 255)


def _picture(name: str, resolution: int):
    """The picture of a flag as training would see it, uint8 [resolution, resolution, 3], and its width and height."""
    from dfjax.data import decoding, transforms
    from dfjax.data.errors import BadRecord

    path = Path({"image": _IMAGE, "mask": _MASK}[name].value)
    try:
        image = decoding.decode(path.read_bytes(), resolution)
    except (OSError, BadRecord) as error:
        raise app.UsageError(f"--{name}={path} is no picture that can be read: {error}") from error
    return transforms.fit(image, (resolution, resolution)), image.size
