"""The pictures of docs/diffusion.md: schedules, and what each sampler does on a mixture in two dimensions.

python docs/figures.py [FOLDER]        (matplotlib: pip install 'dfjax[docs]'; `make docs` calls it)
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from dfjax.diffusion import discrete, grids, samplers

matplotlib.use("Agg")
from matplotlib import pyplot

CALLS, POINTS, PATHS = 10, 600, 5
# Eight spots on two rings.
ANGLES = np.arange(8) * np.pi / 4
MEANS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1) * np.where(np.arange(8) % 2, 0.45, 1.0)[:, None]
STD = 0.08


def denoise(schedule, z, t):
    """E[x | z_t = z] of the spots; z is [points, 1, 1, 2]."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    variance = (alpha * STD) ** 2 + sigma**2
    away = z[..., None, :] - alpha * jnp.asarray(MEANS, z.dtype)
    share = jax.nn.softmax(-jnp.sum(away**2, axis=-1) / (2 * variance), axis=-1)
    return jnp.sum(share[..., None] * (jnp.asarray(MEANS, z.dtype) + alpha * STD**2 / variance * away), axis=-2)


def run(name: str, schedule, steps: int):
    """Points and, beside them, the states on the way (film) of ``steps`` steps of a sampler; and its network calls."""
    times = grids.make("trailing", schedule, steps)
    table = samplers.table(name, schedule, times)
    noise = jax.random.normal(jax.random.key(0), (POINTS, 1, 1, 2))

    def fresh(step):
        return jax.random.normal(jax.random.fold_in(jax.random.key(1), step), noise.shape)

    end, film = jax.jit(lambda z: samplers.solve(table, lambda z, t: denoise(schedule, z, t), z, fresh, film=True))(
        noise * schedule.sigma(1.0)
    )
    return np.asarray(end)[:, 0, 0], np.asarray(film)[:, :, 0, 0], samplers.calls(table)


def draw_samplers(path: pathlib.Path) -> None:
    """One panel a sampler: where it takes the same noise, and a few paths."""
    schedule = discrete.make("flow")
    exact, _, _ = run("unipc_3", schedule, 500)
    names = list(samplers.SAMPLERS)
    figure, axes = pyplot.subplots(-(-len(names) // 6), 6, figsize=(15, 2.7 * -(-len(names) // 6)))
    for axis in axes.flat:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        two_calls = name in ("heun", "flow_heun", "dpmpp_2s")
        end, film, calls = run(name, schedule, CALLS // 2 + 1 if two_calls else CALLS)
        axis.scatter(*exact.T, s=2, color="0.8")
        axis.scatter(*end.T, s=2, color="tab:blue")
        for path_of_one in np.concatenate([film, end[None]])[:, :PATHS].swapaxes(0, 1):
            axis.plot(*path_of_one.T, color="tab:orange", linewidth=0.7)
        axis.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", title=f"{name}, {calls} calls")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def draw_schedules(path: pathlib.Path) -> None:
    """alpha, sigma and log-SNR over t."""
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4))
    t = np.linspace(0, 1, 401)
    made = {name: discrete.make(name) for name in ("flow", "cosine", "linear", "scaled_linear", "edm")}
    made["scaled_linear, zero terminal SNR"] = discrete.make("scaled_linear", zero_terminal=True)
    made["flow, shift 3"] = discrete.make("flow", shift=3.0)
    for name, schedule in made.items():
        for axis, values in zip(axes, (schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)), strict=True):
            axis.plot(t, np.where(np.isfinite(values), values, np.nan), label=name, linewidth=1.2)
    limits = ((0, 1.05), (0, 1.05), (-12, 12))
    for axis, title, limit in zip(axes, ("alpha(t)", "sigma(t)", "log-SNR(t)"), limits, strict=True):
        axis.set(title=title, xlabel="t: picture to noise", ylim=limit, xlim=(0, 1))
        axis.grid(alpha=0.3)
    axes[2].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main(folder: str = str(pathlib.Path(__file__).parent / "images")) -> None:
    """Draw both into the folder."""
    for name, draw in (("schedules", draw_schedules), ("samplers", draw_samplers)):
        path = pathlib.Path(folder) / f"{name}.png"
        draw(path)
        print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
