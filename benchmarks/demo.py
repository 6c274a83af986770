"""Draw with the demo's weights and measure how well the pictures fit their prompts.

    python benchmarks/demo.py --workdir=runs/demo

Writes samples.png, denoising.png, unseen.png and scores.json into the work directory, and prints their paths and the
scores. All distances are squared distances of pictures pooled to 8x8; a score is the share of pictures that are right.

concept_rank1, concept_rank5, style_rank1
    For 96 captions of the training set, drawn by a fixed seed: does the nearest of all real pictures (training and
    held-out, RGB) show the prompted concept; does one of the five nearest; is the nearest of the prompted style?
heldout_...
    The same for every (concept, style) pair held out from training, with 4 seeds each.
unseen_colour
    For the 24 pairs of colour and object that training never showed, with 4 seeds each, prompted as "a green banana":
    is the circular median hue of the saturated foreground in the window of that hue (dfjax/datasets/recolour.py)? The
    foreground is the alpha mask of that object's real picture that is nearest in grey, in the prompted hue.
unseen_object
    For the same pictures: is the nearest of all real pictures, both in grey, one of that object? A hue has a luma of
    its own (a blue banana is a dark one), so that perfect pictures would reach 0.78.
unseen_object_in_hue
    The same, with the real pictures shown in the prompted hue before they turn grey. Perfect pictures reach 1.
"""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from dfjax import config as config_lib
from dfjax.checkpoint.store import Checkpoints
from dfjax.checkpoint.workdir import Workdir
from dfjax.cli import app
from dfjax.core import images
from dfjax.data import captions, transforms
from dfjax.datasets import emoji, recolour
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import generate, restore

_WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "folder of a trained run")
_GUIDANCE = flags.DEFINE_float("guidance", None, "guidance scale; by default the run's sample.guidance")

PROMPTS = (
    "a red apple",
    "a banana",
    "watermelon",
    "a green banana",
    "a blue apple",
    "hamburger, noto",
    "birthday cake",
    "avocado, openmoji",
)
FILM_PROMPT = "a green banana"
_PROMPTED, _SEEDS, _PROMPT_SEED, _SAMPLE_SEED = 96, 4, 0, 1
_SATURATED = 0.2

Pictures = UInt8[np.ndarray, "n height width 3"]


@dataclasses.dataclass(frozen=True)
class Real:
    """Real pictures and what they show, row by row."""

    images: Pictures
    masks: Bool[np.ndarray, "n height width"]
    concepts: np.ndarray
    styles: np.ndarray
    objects: np.ndarray
    texts: tuple[str, ...]


def real_pictures(data: config_lib.Data, split: str) -> Real:
    """All of a split, rendered as training sees them, with their alpha masks."""
    source = emoji.open_source(data, split)
    records = [source[i] for i in range(len(source))]
    return Real(
        images=np.stack([transforms.render(r.image, (data.resolution, data.resolution)) for r in records]),
        masks=np.stack([_mask(r.image, data.resolution) for r in records]),
        concepts=np.array([r.concept for r in records]),
        styles=np.array([r.style for r in records]),
        objects=np.array([r.object for r in records]),
        texts=tuple(r.text for r in records),
    )


def _mask(encoded: bytes, resolution: int) -> Bool[np.ndarray, "height width"]:
    alpha = Image.open(io.BytesIO(encoded)).convert("RGBA").getchannel("A")
    return np.asarray(alpha.resize((resolution, resolution), Image.Resampling.BOX)) > 127


def both(first: Real, second: Real) -> Real:
    joined = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "masks", "concepts", "styles", "objects")
    }
    return Real(**joined, texts=first.texts + second.texts)


def pooled(pictures: Pictures, grey: bool = False) -> Float[np.ndarray, "n values"]:
    """Means over an 8x8 grid of cells, of RGB or of luma, in [0, 1]."""
    values = pictures.astype(np.float64) / 255
    if grey:
        values = values @ recolour.LUMA.astype(np.float64)[:, None]
    n, height, width, channels = values.shape
    cells = values.reshape(n, 8, height // 8, 8, width // 8, channels).mean(axis=(2, 4))
    return cells.reshape(n, -1)


def ranking(drawn: Float[np.ndarray, "n values"], real: Float[np.ndarray, "m values"]) -> np.ndarray:
    """For each drawn picture the real ones from the nearest to the farthest: int [n, m]."""
    return np.argsort(np.sum(np.square(drawn[:, None] - real[None]), axis=-1), axis=1, kind="stable")


def nearest_scores(
    drawn: Pictures, concepts: np.ndarray, styles: np.ndarray, real: Real, prefix: str = ""
) -> dict[str, float]:
    """concept_rank1, concept_rank5 and style_rank1 of pictures drawn for the given concepts and styles."""
    order = ranking(pooled(drawn), pooled(real.images))
    is_concept = real.concepts[order] == concepts[:, None]
    return {
        f"{prefix}concept_rank1": float(is_concept[:, 0].mean()),
        f"{prefix}concept_rank5": float(is_concept[:, :5].any(axis=1).mean()),
        f"{prefix}style_rank1": float((real.styles[order[:, 0]] == styles).mean()),
    }


def unseen_scores(drawn: Pictures, colours: list[str], objects: np.ndarray, real: Real) -> dict[str, float]:
    """unseen_colour and unseen_object of pictures drawn for pairs of colour and object."""
    grey = pooled(drawn, grey=True)
    in_hue = {colour: pooled(in_colour(real.images, colour), grey=True) for colour in recolour.HUES}
    order = np.concatenate([ranking(row[None], in_hue[colour]) for row, colour in zip(grey, colours, strict=True)])
    is_object = real.objects[order] == objects[:, None]
    masks = real.masks[order[np.arange(len(order)), is_object.argmax(axis=1)]]
    right = [
        recolour.HUES[colour].holds(median_hue(picture, mask))
        for picture, mask, colour in zip(drawn, masks, colours, strict=True)
    ]
    natural = ranking(grey, pooled(real.images, grey=True))[:, 0]
    return {
        "unseen_colour": float(np.mean(right)),
        "unseen_object": float((real.objects[natural] == objects).mean()),
        "unseen_object_in_hue": float(is_object[:, 0].mean()),
    }


def in_colour(pictures: Pictures, colour: str) -> Pictures:
    """Pictures in the hue ``colour``, as training shows them."""
    recoloured = np.stack([recolour.recolour(picture.astype(np.float32) / 255, colour) for picture in pictures])
    return np.round(recoloured * 255).astype(np.uint8)


def median_hue(picture: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]) -> float:
    """Circular median hue in degrees of the mask's saturated pixels; NaN, in no window, where there are none."""
    rgb = picture.astype(np.float32) / 255
    hues = recolour.hue_degrees(rgb)[mask & (recolour.chroma(rgb) > _SATURATED)]
    if not len(hues):
        return float("nan")
    # The hue with the least total angle to all others; to half a degree.
    candidates = np.arange(0, 360, 0.5)
    angles = np.abs((hues[None] - candidates[:, None] + 180) % 360 - 180)
    return float(candidates[angles.sum(axis=1).argmin()])


class Artist:
    """Draws with a run's averaged weights, all from one compiled program."""

    def __init__(self, workdir: str, guidance: float | None = None):
        self.mesh = mesh_lib.make(config_lib.Mesh())
        self.run = restore.load(workdir, self.mesh)
        self.guidance = self.run.config.sample.guidance if guidance is None else guidance
        run = self.run
        self.sampler = generate.Sampler(run.network, self.mesh, batch_size=32)

    def __call__(self, prompts: list[str], num: int) -> Pictures:
        """``num`` pictures of each prompt, prompt by prompt."""
        return self.sampler(self.run.params, generate.requests(prompts, num, self.guidance), _SAMPLE_SEED)[0]

    def each(self, prompts: list[str]) -> Pictures:
        """One picture of each prompt, each from its own noise."""
        wanted = [generate.Request(prompt, i, self.guidance) for i, prompt in enumerate(prompts)]
        return self.sampler(self.run.params, wanted, _SAMPLE_SEED)[0]

    def film(self, prompt: str, columns: int) -> Pictures:
        run = self.run
        sampler = generate.Sampler(run.network, self.mesh, batch_size=1, film=True)
        pictures, frames = sampler(run.params, generate.requests([prompt], 1, self.guidance), _SAMPLE_SEED)
        return generate.film_strip(frames, pictures, columns)


def measure(artist: Artist, unseen_sheet: Path) -> dict[str, float]:
    """All scores; the pictures of the unseen pairs go to ``unseen_sheet``, a row a pair."""
    data = artist.run.config.data
    train, heldout = real_pictures(data, data.split), real_pictures(data, data.validation_split)
    real = both(train, heldout)
    chosen = np.random.default_rng(_PROMPT_SEED).choice(len(train.texts), _PROMPTED, replace=False)
    scores = nearest_scores(
        artist.each([train.texts[i] for i in chosen]), train.concepts[chosen], train.styles[chosen], real
    )
    drawn = artist(list(heldout.texts), _SEEDS)
    repeated = [np.repeat(names, _SEEDS) for names in (heldout.concepts, heldout.styles)]
    scores |= nearest_scores(drawn, *repeated, real, prefix="heldout_")
    pairs = recolour.UNSEEN_PAIRS
    drawn = artist([captions.with_article(f"{colour} {thing}") for colour, thing in pairs], _SEEDS)
    save(drawn, 2 * _SEEDS, unseen_sheet)
    colours = [colour for colour, _ in pairs for _ in range(_SEEDS)]
    return scores | unseen_scores(drawn, colours, np.repeat([thing for _, thing in pairs], _SEEDS), real)


def save(pictures: Pictures, columns: int, path: Path) -> None:
    Image.fromarray(images.grid(pictures, columns, scale=3)).save(path)


def main(rest: list[str]) -> None:
    app.refuse_rest(rest)
    room = Workdir(Path(_WORKDIR.value))
    artist = Artist(_WORKDIR.value, _GUIDANCE.value)
    samples, film, unseen, scores_file = (
        room.path / name for name in ("samples.png", "denoising.png", "unseen.png", "scores.json")
    )
    save(artist(list(PROMPTS), 8), 8, samples)
    save(artist.film(FILM_PROMPT, 10), 10, film)
    scores = measure(artist, unseen)
    with Checkpoints(room.checkpoints) as checkpoints:
        meta = checkpoints.meta(artist.run.step)
    scores |= {"train_seconds": round(meta["train_seconds"], 1), "images_seen": meta["position"]}
    scores_file.write_text(json.dumps(scores, indent=2) + "\n")
    for path in (samples, film, unseen, scores_file):
        print(path)
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    app.run(main, sys.argv, __doc__)
