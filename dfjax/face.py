"""The library as a notebook uses it: train, load, draw, and ask a network for its estimate or its loss."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, UInt8

from dfjax import assembly
from dfjax import config as config_lib
from dfjax.data import transforms
from dfjax.data.source import Source
from dfjax.data.sources import pairs as pairs_lib
from dfjax.inputs import conditioning
from dfjax.objective import port
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import generate, restore

Pictures = UInt8[np.ndarray, "n height width 3"]
Pairs = Sequence[tuple[Any, ...]]


def train(
    config: config_lib.Config,
    workdir: Path | str,
    *,
    source: Source | Pairs | None = None,
    validation_source: Source | Pairs | None = None,
    denoiser: Callable | None = None,
    objective: port.Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    hooks: Sequence[Callable] = (),
) -> "Run":
    """Train to ``train.num_steps``, going on from the newest checkpoint of ``workdir``, in this process.

    Args:
      source, validation_source: a :class:`dfjax.Source`, or pairs (picture, caption) with, where wanted, a dict of
        extra columns as a third; a picture is uint8 [height, width, 3], a PIL image, a path or a file's bytes.
        Without a source: the data set that the config names.
      denoiser, objective, optimizer: your own, in place of what the config names. A run that was trained with them is
        resumed and loaded with them.
      hooks: functions of the ready run that give a :class:`dfjax.Hook`, besides validation and sample grids.

    Returns:
      The run, loaded.

    Raises:
      DfjaxError: a config, work directory or data set that cannot be used, in words that say what to do.
    """
    from dfjax.training import loop, samples

    own = assembly.Own(_source(source), _source(validation_source), denoiser, objective, optimizer)
    evaluated: tuple[Callable, ...] = ()
    if config.eval.every_steps:
        from dfjax.evals import training

        evaluated = (training.hook,)
    loop.train(config, workdir, hooks=(samples.hook, *evaluated, *hooks), own=own)
    return load(workdir, denoiser=denoiser, objective=objective)


def load(
    workdir: Path | str,
    step: int | None = None,
    *,
    average: float | None = None,
    denoiser: Callable | None = None,
    objective: port.Objective | None = None,
) -> "Run":
    """A run's averaged weights at a step (the newest by default), over all devices of this process.

    Args:
      average: the power-function average of this length, which ``dfjax average`` made. denoiser, objective: those
        that the run was trained with, where they were handed over.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    mesh = mesh_lib.make(config_lib.Mesh())
    return Run(restore.load(workdir, mesh, step, average, denoiser=denoiser, objective=objective), mesh)


def _source(given: Source | Pairs | None) -> Source | None:
    return pairs_lib.of_pairs(given) if isinstance(given, list | tuple) else given  # type: ignore[return-value]


class Run:
    """A trained network: its averaged weights, and all that is needed to call it."""

    def __init__(self, trained: restore.Trained, mesh: jax.sharding.Mesh):
        self._trained, self._mesh, self._network = trained, mesh, trained.network
        self._params, self._own = port.split(trained.params)
        self._samplers: dict[Any, generate.Sampler] = {}

    @property
    def config(self) -> config_lib.Config:
        """The config that it was trained with."""
        return self._network.config

    @property
    def step(self) -> int:
        """The training step of its weights."""
        return self._trained.step

    @property
    def params(self) -> Any:
        """The averaged parameters of the denoiser, a nested dict of float32 arrays."""
        return self._params

    def sample(
        self,
        prompts: str | Sequence[str],
        *,
        num: int = 1,
        seed: int = 0,
        image: UInt8[np.ndarray, "height width 3"] | None = None,
        strength: float | None = None,
        mask: Float[np.ndarray, "height width 1"] | None = None,
        guide: "Run | None" = None,
        **settings: Any,
    ) -> Pictures:
        """Draw ``num`` pictures of each prompt, prompt by prompt; the n-th of every prompt starts from the same noise.

        Another prompt, seed, guidance scale, picture or mask compiles nothing anew.

        Args:
          seed: from 0 below 2**31. image: a picture of the run's size to start from. strength: the share of the steps
            that change it, in (0, 1]; by default 0.6, with a mask 1. mask: 1 where it is drawn anew, 0 where it stays.
          guide: a weaker model to guide with.
          settings: keys of the config's ``sample`` section, such as ``guidance=2.0`` or ``sampler="unipc_2"``.

        Returns:
          uint8 [num x prompts, height, width, 3].

        Raises:
          ConfigError: settings that cannot work. ValueError: a strength or a mask that does not fit.
        """
        chosen = self.config.with_({f"sample.{name}": value for name, value in settings.items()}).sample
        wanted = generate.requests(_listed(prompts), num, chosen.guidance, chosen.negative_prompt)
        edit = None
        if image is not None:
            edit = generate.Edit(np.asarray(image), strength or (0.6 if mask is None else 1.0), mask)
        size = min(len(wanted), 64)
        # What an argument of the compiled program says makes no other program.
        program = dataclasses.replace(chosen, guidance=1.0, negative_prompt="", prompts=())
        kind = program, size, guide
        if kind not in self._samplers:
            other = guide._trained if guide else None
            self._samplers[kind] = generate.Sampler(
                self._network, self._mesh, settings=chosen, batch_size=size, guide=other
            )
        return self._samplers[kind](self._params, wanted, seed, edit)[0]

    def denoise(
        self, z: Float[np.ndarray, "n height width channels"], t: Any, caption: str | Sequence[str]
    ) -> np.ndarray:
        """The network's estimate of the clean picture, float32 of z's shape, without guidance.

        Args:
          z: noisy pictures alpha(t) x + sigma(t) eps, x in [-1, 1]. t: a level in [0, 1], or one for each.
          caption: of all, or of each.
        """
        noisy = jnp.asarray(z, jnp.float32)
        condition = conditioning.of_prompts(self._network.inputs.conditioner, _listed(caption, len(noisy)))
        levels = jnp.broadcast_to(jnp.asarray(t, jnp.float32), len(noisy))
        return np.asarray(self._denoise(self._params, noisy, levels, condition))

    def loss(
        self, pictures: Sequence[Any], captions: str | Sequence[str], *, seed: int = 0, **columns: Any
    ) -> np.ndarray:
        """The run's loss of pictures with captions, float32 [n], each at a level and with noise of its own.

        Args:
          pictures: as those of :func:`train`'s pairs. seed: of noise levels and noise. columns: extra columns that the
            objective or the conditioner reads, each [n, ...].
        """
        said, inputs, size = _listed(captions, len(pictures)), self._network.inputs, self._network.inputs.codec.picture
        own = [{name: values[place] for name, values in columns.items()} for place in range(len(pictures))]
        source = pairs_lib.of_pairs(list(zip(pictures, said, own, strict=True)))
        inputs = dataclasses.replace(inputs, columns=source.columns)
        rows = []
        for place in range(len(source)):
            record = source[place]
            shown = transforms.render(record.image, size) if size else None
            rows.append(inputs.row(shown, record.text, dict(record.columns)))
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return np.asarray(self._losses(self._trained.params, self._network.objective.frozen(), batch, seed))

    @functools.cached_property
    def _denoise(self) -> Callable:
        network = self._network
        return jax.jit(
            lambda params, z, t, condition: network.process.denoised(network.denoiser, params, z, t, condition)
        )

    @functools.cached_property
    def _losses(self) -> Callable:
        network, objective = self._network, self._network.objective

        def losses(trained, frozen, batch, seed):
            params, own = port.split(trained)
            count = next(iter(batch.values())).shape[0]
            keys = port.Keys(seed, 0, 0, jnp.arange(count, dtype=jnp.int32), count)
            bound = network.bound(params, own=own, frozen=frozen, ema=trained if objective.needs_ema else None)
            found, scalars = objective.losses(bound, batch, keys)
            return scalars.get("loss", found)

        return jax.jit(losses)


def _listed(words: str | Sequence[str], count: int = 1) -> list[str]:
    """One text for each of ``count``, of a single one as many copies."""
    return [words] * count if isinstance(words, str) else list(words)
