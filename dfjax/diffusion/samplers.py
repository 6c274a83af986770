"""Samplers by name, and the loop that runs a solver's table under ``lax.scan``.

``denoise(z, t) -> x`` is the denoised estimate at one noise level. Schedule, grid and table are made on the host;
prompt, noise and guidance are the loop's own. Tables are made in ``solvers`` and ``multistep``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dfjax.core.registry import SAMPLERS
from dfjax.diffusion import multistep, solvers, tables
from dfjax.diffusion.schedule import Schedule
from dfjax.diffusion.tables import Levels, Multistep, Table, TwoCalls

Images = Float[Array, "batch height width channels"]
Values = Float[Array, "memory batch height width channels"]
Scalar = Float[Array, ""]
Denoise = Callable[[Images, Scalar], Images]
Noise = Callable[[Int[Array, ""]], Images]


class Sampler(NamedTuple):
    """A solver by the field's name.

    ``make(levels, schedule, value)`` gives its table; ``option`` names the one number it takes (``eta`` or ``churn``)
    or is empty, and ``default`` is that number's.
    """

    make: Callable[[Levels, Schedule, float], Table]
    option: str = ""
    default: float = 0.0


SAMPLERS.own("ddpm", Sampler(lambda grid, schedule, _: solvers.ddim(grid, 1.0)))
SAMPLERS.own("ddim", Sampler(lambda grid, schedule, eta: solvers.ddim(grid, eta), "eta", 0.0))
# Euler's method on z/alpha in sigma/alpha, and on z/(alpha + sigma) in sigma/(alpha + sigma), is DDIM; and
# k-diffusion's ancestral step is DDIM with noise.
SAMPLERS.own("euler", Sampler(lambda grid, schedule, _: solvers.ddim(grid)))
SAMPLERS.own("flow_euler", Sampler(lambda grid, schedule, _: solvers.ddim(grid)))
SAMPLERS.own("euler_ancestral", Sampler(lambda grid, schedule, eta: solvers.ddim(grid, eta), "eta", 1.0))
SAMPLERS.own("heun", Sampler(lambda grid, schedule, churn: solvers.heun(grid, schedule, churn), "churn", 0.0))
SAMPLERS.own("flow_heun", Sampler(lambda grid, schedule, _: solvers.flow_heun(grid)))
SAMPLERS.own("dpmpp_2s", Sampler(lambda grid, schedule, _: solvers.dpmpp_2s(grid, schedule)))
SAMPLERS.own("dpmpp_2m", Sampler(lambda grid, schedule, _: multistep.unip(grid, 2)))
SAMPLERS.own("dpmpp_3m", Sampler(lambda grid, schedule, _: multistep.unip(grid, 3)))
SAMPLERS.own("dpmpp_2m_sde", Sampler(lambda grid, schedule, eta: multistep.dpmpp_2m_sde(grid, eta), "eta", 1.0))
SAMPLERS.own("unip_2", Sampler(lambda grid, schedule, _: multistep.unip(grid, 2)))
SAMPLERS.own("unip_3", Sampler(lambda grid, schedule, _: multistep.unip(grid, 3)))
SAMPLERS.own("unipc_1", Sampler(lambda grid, schedule, _: multistep.unipc(grid, 1)))
SAMPLERS.own("unipc_2", Sampler(lambda grid, schedule, _: multistep.unipc(grid, 2)))
SAMPLERS.own("unipc_3", Sampler(lambda grid, schedule, _: multistep.unipc(grid, 3)))
SAMPLERS.own("angle_3", Sampler(lambda grid, schedule, _: multistep.angle(grid, 3)))
SAMPLERS.own("deis_2", Sampler(lambda grid, schedule, _: multistep.deis(grid, 2)))
SAMPLERS.own("deis_3", Sampler(lambda grid, schedule, _: multistep.deis(grid, 3)))
SAMPLERS.own("lms_2", Sampler(lambda grid, schedule, _: multistep.lms(grid, 2)))
SAMPLERS.own("lms_3", Sampler(lambda grid, schedule, _: multistep.lms(grid, 3)))
SAMPLERS.own("lms_4", Sampler(lambda grid, schedule, _: multistep.lms(grid, 4)))


def table(name: str, schedule: Schedule, times, option: float | None = None) -> Table:
    """The table of the sampler ``name`` over a grid of times; ``option`` is its eta or churn (None: its default).

    Raises:
      RegistryError: there is no such sampler. ValueError: it takes no such number.
    """
    sampler = SAMPLERS[name]
    if option is not None and not sampler.option:
        raise ValueError(f"the sampler {name} takes neither eta nor churn")
    return sampler.make(tables.levels(schedule, times), schedule, sampler.default if option is None else option)


def calls(table: Table) -> int:
    """Network calls of a whole run."""
    steps = len(table.t)
    return steps + int((table.change != 0).sum()) if isinstance(table, TwoCalls) else steps


def is_stochastic(table: Table) -> bool:
    """Whether its steps draw noise."""
    return (table.noise if isinstance(table, Multistep) else table.lift_noise) is not None


def solve(
    table: Table,
    denoise: Denoise,
    z: Images,
    noise: Noise | None = None,
    *,
    film: bool = False,
    memory: Values | None = None,
) -> tuple[Images, Images | None]:
    """Run a table's steps.

    Args:
      z: the state at the grid's first time; sigma(1) times standard normal noise where that is 1.
      noise: gives step i its standard normal noise of z's shape; only asked by stochastic tables, which need it.
      film: also return the state at each step's start, which costs memory.
      memory: a multistep table's values of the steps before, newest first; none by default, which its first rows
        allow for.

    Returns:
      The state at the grid's last time, and the states before, [steps, batch, height, width, channels], or None.

    Raises:
      ValueError: the table is stochastic and there is no noise.
    """
    rows = jax.tree.map(lambda column: jnp.asarray(column, z.dtype), table)
    draw = noise if is_stochastic(table) else None
    if is_stochastic(table) and noise is None:
        raise ValueError("a stochastic sampler needs noise(step)")
    if memory is None and isinstance(table, Multistep):
        memory = jnp.zeros((table.memory, *z.shape), z.dtype)

    def body(state, step):
        (z, memory), (row, index) = state, step
        fresh = draw(index).astype(z.dtype) if draw else None
        if isinstance(row, TwoCalls):
            return (_two_calls(row, denoise, z, fresh), memory), z if film else None
        return _multistep(row, denoise, z, memory, fresh), z if film else None

    (end, _), frames = jax.lax.scan(body, (z, memory), (rows, jnp.arange(len(table.t), dtype=jnp.int32)))
    return end, frames


def _multistep(row: Any, denoise: Denoise, z: Images, memory: Values, noise: Images | None) -> tuple[Images, Values]:
    """One step, by its row of :class:`tables.Multistep`."""
    x = denoise(z, row.t)
    value = x if row.of_z is None else row.of_z * z + row.of_x * x
    if row.correct is not None:
        z = z + sum(w * (old - value) for w, old in zip(row.correct, memory, strict=False))
    z = row.a * z + row.b * x + sum(w * (old - value) for w, old in zip(row.past, memory, strict=False))
    if noise is not None:
        z = z + row.noise * noise
    return z, jnp.concatenate([value[None], memory])[: memory.shape[0]]


def _two_calls(row: Any, denoise: Denoise, z: Images, noise: Images | None) -> Images:
    """One step, by its row of :class:`tables.TwoCalls`."""
    if noise is not None:
        z = row.lift * z + row.lift_noise * noise
    x = denoise(z, row.t)
    end = row.a * z + row.b * x

    def mended(_):
        return end + row.change * (denoise(row.mid_a * z + row.mid_b * x, row.t_mid) - x)

    return jax.lax.cond(row.change != 0, mended, lambda _: end, None)
