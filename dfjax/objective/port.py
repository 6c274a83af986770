"""A port: (networks, batch, keys) -> the loss of each example, and scalars to report.

Training and validation know nothing else of what is minimised. An objective sees the whole batch, with the extra
columns of its source. It may own parameters that are trained beside the denoiser's, such as a projection head, with an
optimizer of their own; it may look at the averages of all of them, and at frozen arrays, such as another network's.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from dfjax.core import rng
from dfjax.diffusion import timesteps
from dfjax.models.denoiser import Denoiser, Images, Params
from dfjax.models.parameters import Descriptions

Batch = Mapping[str, Array]
Losses = Float[Array, "batch"]

# Under which an objective's own parameters lie in the tree of all that is trained.
OWN = "objective"


@dataclasses.dataclass(frozen=True)
class Keys:
    """All that is random for some rows of the global batch: a function of (seed, step, attempt, row), of nothing else.

    Attributes:
      seed: of the run. step, attempt: of the optimizer, and how often the run was rolled back; int32 scalars.
      index: places of the rows in the global batch. total: how many rows that has.
    """

    seed: Any
    step: Any
    attempt: Any
    index: Int[Array, "batch"]
    total: int

    def one(self, purpose: str) -> Key[Array, ""]:
        """A key for all rows together."""
        return rng.stream(self.seed, purpose, self.step, self.attempt)

    def each(self, purpose: str) -> Key[Array, "batch"]:
        """A key for each row."""
        return rng.per_example(self.one(purpose), self.index)

    def stratified(self, purpose: str) -> Float[Array, "batch"]:
        """Even numbers in (0, 1) over the global batch; see :func:`dfjax.diffusion.timesteps.stratified`."""
        return timesteps.stratified(self.one(purpose), self.index, self.total)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks as an objective calls them, with their parameters.

    Attributes:
      denoiser, params: the denoiser, and its parameters that are trained.
      codec, conditioner: what makes of a batch what is noised, and the condition (``dfjax/inputs``).
      own: the objective's trained parameters. frozen: what :meth:`Objective.frozen` gave.
      ema: the averages of ``params``, with the objective's own under ``OWN``, through which no gradient flows; None
        unless the objective asks for them.
    """

    denoiser: Denoiser
    params: Params
    codec: Any
    conditioner: Any
    own: Params = dataclasses.field(default_factory=dict)
    frozen: Any = None
    ema: Params | None = None

    def clean(self, batch: Batch, keys: Keys) -> Images:
        """What the rows are to become again, float32."""
        return self.codec.encode(batch, keys.each("codec"))

    def caption(self, batch: Batch, drop: Bool[Array, "batch"] | None = None) -> Any:
        """The condition of the rows, the null caption where ``drop``."""
        own = self.conditioner.condition(batch)
        if drop is None:
            return own

        def choose(null: Array, own: Array) -> Array:
            return jnp.where(drop.reshape(-1, *[1] * (own.ndim - 1)), jnp.asarray(null, own.dtype), own)

        return jax.tree.map(choose, self.conditioner.null(), own)


class Objective:
    """What is minimised. The least that one of your own needs is :meth:`losses`.

    Attributes:
      needs_ema: whether ``networks.ema`` is wanted, for which it has to be at hand on every device.
    """

    needs_ema = False

    def init(self, key: Key[Array, ""]) -> Params:
        """The parameters of its own to be trained, a nested dict; traced under ``jit``. None by default."""
        return {}

    def described(self) -> Descriptions:
        """What is said of its own parameters, by name (``models/parameters.py``); one that is left out is not split."""
        return {}

    def frozen(self) -> Any:
        """Arrays that are handed to every step as they are, and stand in no checkpoint. None by default."""
        return {}

    def optimizer(self) -> optax.GradientTransformation | None:
        """Of its own parameters; None: they have the denoiser's."""
        return None

    def losses(self, networks: Networks, batch: Batch, keys: Keys) -> tuple[Losses, dict[str, Losses]]:
        """The loss of each row, whose mean is minimised, and other numbers of each row, whose means are reported.

        ``loss`` among these is what is reported as the loss in place of what is minimised. Rows may be any part of the
        global batch, so nothing may depend on the others among them.
        """
        raise NotImplementedError

    def validate(self, networks: Networks, batch: Batch, keys: Keys) -> dict[str, Losses]:
        """The validation losses of each row by name, ``loss`` among them; the same for the same keys and weights."""
        losses, scalars = self.losses(networks, batch, keys)
        return {**scalars, "loss": scalars.get("loss", losses)}


def split(params: Params) -> tuple[Params, Params]:
    """The denoiser's parameters, and the objective's own, of all that is trained."""
    return {name: part for name, part in params.items() if name != OWN}, params.get(OWN, {})


def joined(params: Params, own: Params) -> Params:
    """The inverse of :func:`split`; a tree without ``OWN`` where an objective has none."""
    return {**params, OWN: own} if own else params
