"""Rounds of one target: hypothesis makes the inputs, and shrinks one that fails."""

import dataclasses
import faulthandler
import itertools
import logging
import time
import traceback
import warnings

import hypothesis
from hypothesis import HealthCheck, Phase

from tests.fuzz.targets import TARGETS, clean_up

_EXAMPLES = 200


@dataclasses.dataclass
class Round:
    """What came of some inputs: how many there were and were used, the slowest, and the fault, if there was one."""

    inputs: int = 0
    used: int = 0
    slowest_seconds: float = 0.0
    failure: str = ""


def run(name: str, seed: int, examples: int) -> Round:
    """``examples`` inputs to the target ``name``, the same for the same seed."""
    target, result = TARGETS[name], Round()
    target.prepare()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        report_multiple_bugs=False,
        derandomize=False,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(target.inputs)
    def check(value) -> None:
        started = time.monotonic()
        result.inputs += 1
        result.used += target.check(value)
        result.slowest_seconds = max(result.slowest_seconds, time.monotonic() - started)

    try:
        check()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        frames = "".join(traceback.format_tb(error.__traceback__)[-5:])
        notes = "\n".join(getattr(error, "__notes__", []))
        result.failure = f"{frames}{type(error).__name__}: {str(error)[:500]}\n{notes[:2000]}"
    return result


def work(pipe, names: list[str], first: int, until: float) -> None:
    """Rounds of every target in turn, each one announced in ``pipe`` before it starts and told of when it is over."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable()
    for seed, name in zip(itertools.count(first), itertools.cycle(names), strict=False):
        if time.time() > until:
            break
        pipe.send((name, seed, None))
        pipe.send((name, seed, run(name, seed, _EXAMPLES)))
    clean_up()
    pipe.close()
