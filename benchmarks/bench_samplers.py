"""How near each sampler and step grid comes to the exact solution, for its number of network calls.

    python benchmarks/bench_samplers.py [--tasks=broad,narrow,deep,line,wide] [--peer] [--json=samplers.json]

The data are mixtures of Gaussians, whose best denoiser is known, so that only the sampler errs. All schedules share one
flow from noise to data; the reference follows it from the same noise by an eighth-order method at a tolerance of 1e-12.
The error is the root mean square distance of the end points from the reference's, in float64 for ours. The data's
spread is about that of pictures in [-1, 1]: a standard deviation of 0.5.

``--peer`` compares with diffusers (pip install 'dfjax[parity]'): the best of every deterministic scheduler and grid of
theirs (benchmarks/diffusers_schedulers.py) with the best of ours, and with one fixed sampler and grid of ours.
"""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy import integrate

from dfjax.diffusion import discrete, grids, samplers
from dfjax.diffusion.schedule import Schedule, namespace

_TASKS = flags.DEFINE_list("tasks", ["broad"], "mixtures, by name")
_SCHEDULES = flags.DEFINE_list("schedules", ["scaled_linear", "flow"], "noise schedules")
_CALLS = flags.DEFINE_list("calls", ["5", "10", "20", "50", "100"], "numbers of network calls")
_STARTS = flags.DEFINE_integer("starts", 1024, "noises to start from")
_PEER = flags.DEFINE_bool("peer", False, "compare with diffusers")
_JSON = flags.DEFINE_string("json", "", "also write the errors to this file")

FIXED = ("angle_3", "angle")
# Two names of one sampler, and those that draw noise, are left out.
SAMPLERS = [name for name in samplers.SAMPLERS if name not in ("euler", "flow_euler", "unip_2", "unip_3", "ddpm")]
ENDS = [grids.Ends(grid_min=smallest) for smallest in (0.02, 0.03, 0.05, 0.1)]


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Round Gaussians of equal weight: means [k, d] and standard deviations [k]; and noises [n, d] to start from."""

    means: np.ndarray
    stds: np.ndarray
    noise: np.ndarray

    def estimate(self, z, alpha, sigma):
        """E[x | z] and E[eps | z], for z [n, d] and numbers alpha and sigma, in the library of z."""
        xp = namespace(z)
        variance = alpha**2 * self.stds**2 + sigma**2
        away = z[:, None, :] - alpha * self.means
        log = -0.5 * (xp.sum(away**2, axis=-1) / variance + z.shape[-1] * xp.log(variance))
        share = xp.exp(log - xp.max(log, axis=-1, keepdims=True))
        share = share / xp.sum(share, axis=-1, keepdims=True)
        x = self.means + (alpha * self.stds**2 / variance)[:, None] * away
        eps = (sigma / variance)[:, None] * away
        return xp.einsum("nk,nkd->nd", share, x), xp.einsum("nk,nkd->nd", share, eps)

    @functools.cache  # noqa: B019 - a handful of mixtures live as long as the program
    def exact(self, start: float):
        """Where the flow takes sigma times the noise [n, d] from sigma/(alpha + sigma) = start: dz/dt = E[eps - x]."""

        def velocity(t, values):
            x, eps = self.estimate(values.reshape(self.noise.shape), 1 - t, t)
            return (eps - x).ravel()

        first = (start * self.noise).ravel()
        return integrate.solve_ivp(velocity, (start, 0.0), first, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]

    def error(self, ends, start: float) -> float:
        """Root mean square distance of end points [n, d]."""
        away = np.asarray(ends) - self.exact(round(start, 12)).reshape(self.noise.shape)
        return float(np.sqrt(np.mean(np.sum(away**2, axis=-1))))


def mixture(seed: int, dimensions: int, components: int, narrowest: float, widest: float) -> Mixture:
    """Means of standard deviation 0.5, and components as narrow and wide as that."""
    rng = np.random.default_rng(seed)
    means, stds = 0.5 * rng.normal(size=(components, dimensions)), rng.uniform(narrowest, widest, components)
    return Mixture(means, stds, rng.normal(size=(_STARTS.value, dimensions)))


TASKS = {
    "broad": (10, 2, 8, 0.1, 0.3),
    "narrow": (11, 2, 8, 0.05, 0.1),
    "deep": (12, 16, 8, 0.1, 0.4),
    "line": (13, 1, 4, 0.05, 0.3),
    "wide": (14, 2, 6, 0.2, 0.4),
}


def within(sampler: str, grid: str, noising: Schedule, calls: int, ends: grids.Ends) -> samplers.Table | None:
    """The table of the most steps that fit into the calls, if any does."""
    for steps in range(calls, 1, -1):
        table = samplers.table(sampler, noising, grids.make(grid, noising, steps, ends))
        if samplers.calls(table) <= calls:
            return table
    return None


@functools.partial(jax.jit, static_argnums=(0, 1))
def _solve(noising: Schedule, task: Mixture, table: samplers.Table, z):
    def denoise(z, t):
        return task.estimate(z, noising.alpha(t), noising.sigma(t))[0]

    return samplers.solve(table, denoise, z)[0]


def ours(noising: Schedule, task: Mixture, calls: int) -> dict[tuple[str, str, float], float]:
    """The error by sampler, grid and its least level."""
    alpha, sigma = noising.alpha(np.ones(())), noising.sigma(np.ones(()))
    errors = {}
    for sampler in SAMPLERS:
        for grid in grids.GRIDS:
            for ends in ENDS[:1] if grid in ("trailing", "angle") else ENDS:
                table = within(sampler, grid, noising, calls, ends)
                if table is not None and not samplers.is_stochastic(table):
                    drawn = _solve(noising, task, table, jnp.asarray(sigma * task.noise))
                    errors[sampler, grid, ends.grid_min] = task.error(drawn, float(sigma / (alpha + sigma)))
    return errors


def theirs(schedule: str, task: Mixture, calls: int) -> dict[str, float]:
    """The error by scheduler and its settings."""
    import diffusers_schedulers as peer

    errors = {}
    for choice in peer.TASKS[schedule]():
        result = peer.attempt(choice, calls, task.noise, task.estimate)
        if result is not None:
            errors[choice.label()] = task.error(*result)
    return errors


def show(title: str, results: dict[int, dict]) -> None:
    """A table of errors, a row for each sampler and grid at the grid's default end."""
    print(f"\n{title}\n{'calls':28s}" + "".join(f"{calls:>10d}" for calls in results))
    for sampler in SAMPLERS:
        for grid in grids.GRIDS:
            errors = [result.get((sampler, grid, ENDS[0].grid_min)) for result in results.values()]
            if any(error is not None for error in errors):
                cells = "".join(f"{'-':>10s}" if error is None else f"{error:10.2e}" for error in errors)
                print(f"{sampler:16s}{grid:12s}{cells}")


def compare(title: str, own: dict, peer: dict) -> None:
    """A line for the best of each side, and their ratio: below 1, ours is nearer."""
    fixed = own[(*FIXED, ENDS[0].grid_min)]
    best, best_peer = min(own, key=lambda key: own[key]), min(peer, key=lambda key: peer[key])
    print(
        f"{title:34s}theirs {peer[best_peer]:.2e}  ours {own[best]:.2e} ({own[best] / peer[best_peer]:.2f})  "
        f"{' '.join(FIXED)} {fixed:.2e} ({fixed / peer[best_peer]:.2f})\n"
        f"{'':34s}theirs: {best_peer}\n{'':34s}ours: {best[0]} {best[1]} {best[2]}"
    )


def main(_: list[str]) -> None:
    jax.config.update("jax_enable_x64", True)
    written = []
    for name in _TASKS.value:
        task = mixture(*TASKS[name])
        for schedule in _SCHEDULES.value:
            noising = discrete.make(schedule, steps=1000)
            results = {int(calls): ours(noising, task, int(calls)) for calls in _CALLS.value}
            show(f"{name}, {schedule}", results)
            for calls, own in results.items():
                peer = theirs(schedule, task, calls) if _PEER.value else {}
                if peer:
                    compare(f"{name}, {schedule}, {calls} calls", own, peer)
                named = {" ".join(map(str, key)): error for key, error in own.items()}
                written.append({"task": name, "schedule": schedule, "calls": calls, "ours": named, "theirs": peer})
    if _JSON.value:
        with open(_JSON.value, "w") as file:
            json.dump(written, file, indent=1)


if __name__ == "__main__":
    app.run(main)
