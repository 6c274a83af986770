"""A denoiser as a pure function of its parameters: what trainer and sampler call."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from dfjax.models import parameters
from dfjax.models.inputs import Features, NetworkInputs, Work
from dfjax.models.layout import ONE_DEVICE, Layout

Params = dict[str, Any]
Images = Float[Array, "batch height width channels"]
# Token ids, or what a frozen encoder makes of them.
Caption = Int[Array, "batch tokens"] | Features
Build = Callable[[Layout, nnx.Rngs], nnx.Module]


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A network's graph, apart from its parameters (a nested dict of float32 arrays).

    ``work`` is what the network does with one example, None where it does not say.
    """

    graph: nnx.GraphDef
    abstract: nnx.State
    build: Build
    inputs: NetworkInputs
    layout: Layout
    work: Work | None

    @classmethod
    def make(
        cls, build: Build, inputs: NetworkInputs, layout: Layout = ONE_DEVICE, work: Work | None = None
    ) -> "Denoiser":
        """The denoiser around a module called as (z, t, caption) -> prediction of z's shape.

        Args:
          build: makes the module; traced, not run. layout: how its arrays lie on devices; one device by default.
        """
        return cls(build=build, inputs=inputs, layout=layout, work=work, **_split(build, layout))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is noised."""
        return self.inputs.shape

    @functools.cached_property
    def described(self) -> parameters.Descriptions:
        """What the network says of its parameters, by name."""
        return parameters.described(self.abstract)

    def init(self, key: Key[Array, ""]) -> Params:
        """Random parameters. Trace it in ``jit`` with shardings: no device ever holds them all."""
        return nnx.to_pure_dict(nnx.state(self.build(self.layout, nnx.Rngs(key)), nnx.Param))

    def abstract_params(self) -> Params:
        """The parameters' shapes and types."""
        return nnx.to_pure_dict(self.abstract)

    def apply(self, params: Params, z: Images, t: Float[Array, "batch"], caption: Caption) -> Images:
        """The prediction for noisy pictures z at levels t in [0, 1] with their captions."""
        return self._network(params)(z, t, caption)

    def log_variance(self, params: Params, t: Float[Array, "batch"]) -> Float[Array, "batch"]:
        """The learned log of the mean loss at levels t; only where the config has diffusion.learned_variance."""
        return self._network(params).log_variance(t)

    def on(self, layout: Layout) -> "Denoiser":
        """The same network, whose arrays lie otherwise."""
        return dataclasses.replace(self, layout=layout, **_split(self.build, layout))

    def _network(self, params: Params) -> Any:
        # What is not stacked is fetched here, the stacked layers one by one where they run. A State and its pure dict
        # flatten in the same order, by sorted names.
        whole = self.layout.weights(params, self.described)
        state = jax.tree.unflatten(jax.tree.structure(self.abstract), jax.tree.leaves(whole))
        return nnx.merge(self.graph, state)


def _split(build: Build, layout: Layout) -> dict[str, Any]:
    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(layout, nnx.Rngs(jax.random.key(0)))), nnx.Param)
    return {"graph": graph, "abstract": abstract}
