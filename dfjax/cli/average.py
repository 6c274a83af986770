"""dfjax average --workdir=RUN --std=0.1 [--std=...] [--step=N]

Makes averages of the weights of any length from the snapshots of a run, for `dfjax sample --average`. The run must have
been trained with optim.ema_stds and train.snapshot_every_steps. Prints, for each length, the path of what was made, its
residual (how far its profile over training is from the wanted one; 0 is exact) and the number of snapshots.
"""

import dataclasses
import json
import logging
from pathlib import Path

from absl import flags

from dfjax.cli import app

app.define_recipe()
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of a trained run", required=True)
_STD = flags.DEFINE_multi_float(
    "std",
    None,
    "length: the profile's standard deviation as a share of the run; may be given several times",
    required=True,
)
_STEP = flags.DEFINE_integer(
    "step", None, "training step at which the average ends; by default the newest snapshot's", lower_bound=1
)
_JSON = flags.DEFINE_bool("json", False, "print one JSON object instead")

_log = logging.getLogger(__name__)
_POOR = 0.01


def main(rest: list[str]) -> None:
    """Reconstruct, warn, print."""
    app.refuse_rest(rest)
    import jax

    from dfjax.checkpoint import reconstruct
    from dfjax.checkpoint.workdir import Workdir

    for std in _STD.value:
        app.check_length("std", std)
    # The work is the host's: no accelerator is taken from a run that trains.
    jax.config.update("jax_platforms", "cpu")
    made = reconstruct.reconstruct(Workdir(Path(_WORKDIR.value)), list(dict.fromkeys(_STD.value)), _STEP.value)
    for result in made:
        if result.residual > _POOR:
            _log.warning(
                "the average of length %s is only near: its residual is %.1f %%. Nearer come more snapshots "
                "(train.snapshot_every_steps), lengths between those of optim.ema_stds, and steps with a snapshot",
                result.std, 100 * result.residual,
            )  # fmt: skip
    if _JSON.value:
        print(json.dumps({"averages": [dataclasses.asdict(result) | {"path": str(result.path)} for result in made]}))
        return
    for result in made:
        print(f"{result.path}  residual {result.residual:.1e}  from {result.snapshots} snapshots")
