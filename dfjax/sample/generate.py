"""From prompts to pictures, with one program compiled once for a batch size."""

import dataclasses
import logging
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, UInt8

from dfjax import config as config_lib
from dfjax.inputs import conditioning
from dfjax.inputs.network import Network
from dfjax.objective import port
from dfjax.objective import process as process_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import program
from dfjax.sample.restore import Trained

_log = logging.getLogger(__name__)

Pictures = UInt8[np.ndarray, "batch height width channels"]


@dataclasses.dataclass(frozen=True)
class Request:
    """One picture to draw: a prompt, a guidance scale, and the index that names its noise within the seed.

    ``negative`` is the prompt that guidance leads away from; empty: the null caption.
    """

    prompt: str
    index: int
    guidance: float
    negative: str = ""


@dataclasses.dataclass(frozen=True)
class Edit:
    """A picture to start from instead of pure noise.

    Attributes:
      picture: uint8 [height, width, 3] of the model's resolution.
      strength: share of the solver's steps to run, in (0, 1]; small keeps the picture.
      mask: float32 [height, width, 1], 1 where it is drawn anew and 0 where it stays as it is; None: all of it.

    Raises:
      ValueError: the strength is out of range, or the mask of another size.
    """

    picture: UInt8[np.ndarray, "height width channels"]
    strength: float
    mask: Float[np.ndarray, "height width 1"] | None = None

    def __post_init__(self):
        if not 0 < self.strength <= 1:
            raise ValueError(f"the strength of an edit must be above 0 and at most 1, not {self.strength}")
        if self.mask is not None and self.mask.shape != (*self.picture.shape[:2], 1):
            raise ValueError(f"a mask {self.mask.shape} does not fit a picture {self.picture.shape}")


def requests(
    prompts: Sequence[str], num: int, guidance: float | Sequence[float], negative: str | Sequence[str] = ""
) -> list[Request]:
    """``num`` pictures of each prompt, prompt by prompt; the n-th of every prompt starts from the same noise.

    Guidance scale and negative prompt are one for all, or one for each prompt.
    """
    scales = [guidance] * len(prompts) if isinstance(guidance, float | int) else guidance
    negatives = [negative] * len(prompts) if isinstance(negative, str) else negative
    return [
        Request(prompt, index, scale, away)
        for prompt, scale, away in zip(prompts, scales, negatives, strict=True)
        for index in range(num)
    ]


class Sampler:
    """Draws pictures with one compiled program, whatever the prompts, the seed, the guidance scales and the edits.

    A picture depends on (weights, prompt, seed, index, guidance, settings, edit) and not on its batch. Another strength
    of an edit is another number of steps, and so another program.
    """

    def __init__(
        self,
        network: Network,
        mesh: Mesh,
        *,
        settings: config_lib.Sample | None = None,
        batch_size: int = 64,
        film: bool = False,
        guide: Trained | None = None,
    ):
        """Nothing is compiled before the first call.

        Args:
          settings: sampler, step grid and kind of guidance; those of the config by default.
          batch_size: pictures drawn at once, rounded up to what the mesh divides.
          film: also return what each step starts from, pure noise first.
          guide: a weaker model that guidance leads away from (autoguidance), instead of the null caption.

        Raises:
          ConfigError: settings that cannot work, a guide with other noise levels or pictures of another size, or inputs
            of which no picture can be drawn.
        """
        if network.inputs.obstacle:
            raise config_lib.ConfigError(network.inputs.obstacle)
        if guide is not None:
            process_lib.check_guide(network.config, guide.network.config)
        shards = mesh_lib.batch_shards(mesh)
        self.batch_size = -(-batch_size // shards) * shards
        self._network, self._mesh, self._guide = network, mesh, guide
        self._settings, self._film = settings or network.config.sample, film
        self._programs: dict[tuple[float | None, bool], Callable] = {}
        process_lib.solver(network.process, self._settings)

    def _program(self, edit: Edit | None) -> Callable:
        """The program for such edits, made where it is the first of its kind."""
        kind = (edit.strength, edit.mask is not None) if edit else (None, False)
        if kind not in self._programs:
            self._programs[kind] = program.make(
                self._network,
                self._settings,
                self._mesh,
                film=self._film,
                guide=self._guide.network if self._guide else None,
                strength=kind[0],
                masked=kind[1],
            )
        return self._programs[kind]

    def __call__(
        self, params: Any, wanted: Sequence[Request], seed: int, edit: Edit | None = None
    ) -> tuple[Pictures, np.ndarray | None]:
        """Draw the wanted pictures, in order.

        Args:
          params: the denoiser's parameters, usually the averaged ones. seed: from 0 up to 2**31 - 1.
          edit: a picture to start from.

        Returns:
          uint8 [n, height, width, 3], and with ``film`` uint8 [steps, n, height, width, 3].
        """
        self._warn_of_cuts(wanted)
        if any(not r.prompt.strip() for r in wanted):
            _log.warning("a prompt is empty: what is drawn for it is any picture")
        pictures, frames = [], []
        for start in range(0, len(wanted), self.batch_size):
            part = list(wanted[start : start + self.batch_size])
            picture, film = self._draw_padded(params, part, seed, edit)
            pictures.append(picture[: len(part)])
            if film is not None:
                frames.append(film[:, : len(part)])
        return np.concatenate(pictures), np.concatenate(frames, axis=1) if frames else None

    def _draw_padded(self, params: Any, part: list[Request], seed: int, edit: Edit | None):
        padded = part + [part[-1]] * (self.batch_size - len(part))
        conditioner = self._network.inputs.conditioner
        rows: dict[str, Any] = {
            "caption": conditioning.of_prompts(conditioner, [r.prompt for r in padded]),
            "away": self._away(padded),
            "index": np.array([r.index for r in padded], np.int32),
            "scale": np.array([r.guidance for r in padded], np.float32),
        }
        whole: dict[str, Any] = {"seed": np.asarray(seed, np.uint32)}
        if edit is not None:
            codec = self._network.inputs.codec
            whole["picture"] = dict(codec.row(edit.picture, {}))
            if edit.mask is not None:
                whole["mask"] = _fitted(edit.mask, codec.shape)
        # An objective's own parameters draw nothing.
        parameters = tuple(port.split(each)[0] for each in ([params, self._guide.params] if self._guide else [params]))
        by_row, replicated = mesh_lib.batch_sharding(self._mesh), mesh_lib.replicated(self._mesh)
        drawn = self._program(edit)(
            parameters,
            jax.tree.map(lambda value: mesh_lib.put(value, by_row), rows),
            jax.tree.map(lambda value: mesh_lib.put(value, replicated), whole),
        )
        return jax.tree.map(mesh_lib.fetch, drawn)

    def _away(self, part: list[Request]) -> Any:
        """What guidance leads away from; a guide is told of the prompt itself, in its own form."""
        if self._guide is not None:
            return conditioning.of_prompts(self._guide.network.inputs.conditioner, [r.prompt for r in part])
        conditioner = self._network.inputs.conditioner
        null = conditioning.of_null(conditioner, len(part))
        named = [bool(r.negative) for r in part]
        if not any(named):
            return null
        negative = conditioning.of_prompts(conditioner, [r.negative for r in part])

        def choose(own: np.ndarray, none: np.ndarray) -> np.ndarray:
            return np.where(np.reshape(named, (-1, *[1] * (own.ndim - 1))), own, none)

        return jax.tree.map(choose, negative, null)

    def _warn_of_cuts(self, wanted: Sequence[Request]) -> None:
        said = dict.fromkeys(words for r in wanted for words in (r.prompt, r.negative))
        conditioner = self._network.inputs.conditioner
        for prompt in filter(conditioner.is_cut, said):
            _log.warning(
                "the prompt %r is longer than text.max_tokens=%d: only %r is used",
                textwrap.shorten(prompt, 80),
                self._network.config.text.max_tokens,
                textwrap.shorten(conditioner.kept(prompt), 200),
            )


def film_strip(frames: np.ndarray, pictures: Pictures, columns: int) -> Pictures:
    """``columns`` moments of each picture's making, picture by picture, the finished picture last.

    Args:
      frames: uint8 [steps, n, height, width, 3], one per solver step. pictures: uint8 [n, height, width, 3].
    """
    moments = np.linspace(0, len(frames) - 1, columns - 1).round().astype(int)
    rows = [np.concatenate([frames[moments, i], pictures[i : i + 1]]) for i in range(len(pictures))]
    return np.concatenate(rows)


def _fitted(mask: Float[np.ndarray, "height width 1"], shape: tuple[int, int, int]) -> np.ndarray:
    """A mask of pictures over what is noised, which may be a whole number of times smaller: means of its squares."""
    height, width = shape[:2]
    if mask.shape[:2] == (height, width):
        return mask
    down, right = mask.shape[0] // height, mask.shape[1] // width
    return mask.reshape(height, down, width, right, 1).mean(axis=(1, 3))
