"""What there is to choose from: every schedule, as the config makes it, and the predictions it admits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dfjax.core.registry import PREDICTIONS
from dfjax.diffusion import discrete, prediction
from dfjax.diffusion.tables import Table

# Each kind of schedule, with and without what the config adds to it.
OPTIONS = {
    "flow": {},
    "cosine": {},
    "linear": {},
    "scaled_linear": {},
    "edm": {},
    "flow, shift 3": {"shift": 3.0},
    "cosine, shift 0.5": {"shift": 0.5},
    "linear, zero terminal": {"zero_terminal": True},
    "scaled_linear, zero terminal": {"zero_terminal": True},
    "linear, 1000 levels": {"steps": 1000},
    "scaled_linear, 1000 levels, zero terminal": {"steps": 1000, "zero_terminal": True},
}
SCHEDULES = {label: discrete.make(label.split(",")[0], **options) for label, options in OPTIONS.items()}
PAIRS = [(kind, label) for label, s in SCHEDULES.items() for kind in PREDICTIONS if prediction.admitted(kind, s)]


def discrete_steps(label: str) -> int:
    """How many levels the schedule has; 0: continuous."""
    return OPTIONS[label].get("steps", 0)


class Levels(NamedTuple):
    """Alpha and sigma of each time at which a table calls the network: so all schedules share one compilation."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray

    def at(self, t):
        row = jnp.argmin(jnp.abs(self.t - t))
        return tuple(jnp.reshape(column[row], (1, 1, 1, 1)) for column in (self.alpha, self.sigma))


def levels(table: Table, label: str, dtype=np.float32) -> Levels:
    """Those of a table under a schedule."""
    times = np.concatenate([table.t, getattr(table, "t_mid", table.t)])
    columns = Levels(times, SCHEDULES[label].alpha(times), SCHEDULES[label].sigma(times))
    return jax.tree.map(lambda column: column.astype(dtype), columns)
