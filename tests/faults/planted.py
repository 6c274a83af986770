"""Numbers that are planted in a training step: a loss, gradients or noise at one step, on one device.

As a program it is the command with the faults before its own words; number counts from 1, and NaN is JSON here:

    python -m tests.faults.planted '[{"number": 7, "where": "noise", "value": NaN}]' train --config=... --workdir=...
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence

import jax.numpy as jnp

from dfjax.core import trees
from dfjax.training import step

_draw, _loss_and_gradients = step.draw, step.loss_and_gradients


@dataclasses.dataclass(frozen=True)
class Fault:
    """``value`` in place of what is at ``where`` in the step ``number``: "loss", "noise", or a path of gradients.

    It is planted on the device that has ``row`` of the global batch alone, and only in one ``attempt``: a run that
    went back does not meet it again.
    """

    number: int
    where: str
    value: float
    row: int = 0
    attempt: int = 0

    def is_here(self, number, attempt):
        return (number == self.number - 1) & (attempt == self.attempt)


def patches(faults: Sequence[Fault]) -> dict[str, Callable]:
    """What to put in place of functions of ``dfjax.training.step``, before a step is made."""

    def draw(config, number, attempt, index, shape):
        draws = _draw(config, number, attempt, index, shape)
        eps = draws.eps
        for fault in faults:
            if fault.where == "noise":
                here = fault.is_here(number, attempt) & (index == fault.row)
                eps = jnp.where(here.reshape(-1, 1, 1, 1), fault.value, eps)
        return draws._replace(eps=eps)

    def loss_and_gradients(denoiser, config, null, state, batch, index):
        loss, gradients = _loss_and_gradients(denoiser, config, null, state, batch, index)
        for fault in faults:
            here = fault.is_here(state.step, state.attempt) & jnp.any(index == fault.row)

            def put(name, leaf, here=here, fault=fault):
                return jnp.where(here, fault.value, leaf) if fault.where == name else leaf

            loss, gradients = put("loss", loss), trees.map_named(put, gradients)
        return loss, gradients

    return {"draw": draw, "loss_and_gradients": loss_and_gradients}


def plant(words: str) -> None:
    """Plant faults, a JSON list of what :class:`Fault` takes, in all steps that this process is going to make."""
    for name, function in patches([Fault(**fault) for fault in json.loads(words)]).items():
        setattr(step, name, function)


if __name__ == "__main__":
    plant(sys.argv.pop(1))
    from dfjax.cli import main

    sys.exit(main.run())
