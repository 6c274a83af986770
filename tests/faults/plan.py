"""What is done to which run: a function of the seed and the run's number alone."""

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Any

# Kinds of faults. KILL: SIGKILL. STOP: SIGSTOP, a hang. TERM: SIGTERM, a preemption. DISK: it is full for a while.
# WRITES: files may not grow for a while, so that writes fail.
KILL, STOP, TERM, DISK, WRITES = KINDS = ("kill", "stop", "term", "disk", "writes")
START_UP, COMPILATION, STEP, SAVE, EVALUATION, END = INSTANTS = (
    "start-up",
    "compilation",
    "step",
    "save",
    "evaluation",
    "end",
)
# Each instant once and a save twice; the end is the last, since a run that is over cannot be met again.
_BEFORE_THE_END = (START_UP, COMPILATION, STEP, SAVE, SAVE, EVALUATION)


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is done to process ``rank``.

    ``nth``: in the which step or save after the start of the processes. ``share``: how far into the instant, from 0 to
    1 of how long it usually takes. ``is_patient``: the other processes are left to end by themselves.
    """

    kind: str
    instant: str
    rank: int
    nth: int
    share: float
    is_patient: bool


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run by so many processes, and the faults it meets, one after each start."""

    seed: int
    number: int
    processes: int
    faults: tuple[Fault, ...]


@dataclasses.dataclass(frozen=True)
class Planted:
    """What every run of a seed meets, the undisturbed one too.

    ``damaged`` records; ``nans``: the steps whose noise, or loss, is not a number; ``spike``: the one whose loss is so
    large that the run goes back, to take it again without. The first NaN is before all that is taken again, the other
    after.
    """

    damaged: tuple[int, int]
    nans: tuple[int, int]
    spike: int | None

    def numbers(self) -> list[dict[str, Any]]:
        """As arguments of ``planted.Fault``."""
        spike = [] if self.spike is None else [{"number": self.spike, "where": "loss", "value": 1e4}]
        return [
            {"number": self.nans[0], "where": "noise", "value": math.nan},
            *spike,
            {"number": self.nans[1], "where": "loss", "value": math.nan, "attempt": len(spike)},
        ]


def planted(seed: int, records: int, kinds: Sequence[str] = (KILL,)) -> Planted:
    """What the runs of ``seed`` meet in a data set of so many records.

    No spike where the storage is to fail: to which checkpoint a run goes back then depends on which could be saved.
    """
    draw = random.Random(f"{seed}/planted")
    first, second = draw.sample(range(records), 2)
    nans, spike = (draw.randint(3, 8), draw.randint(24, 36)), draw.randint(14, 22)
    return Planted((first, second), nans, None if {DISK, WRITES} & set(kinds) else spike)


def run(
    seed: int,
    number: int,
    kinds: Sequence[str] = (KILL,),
    processes: Sequence[int] = (1,),
    instants: Sequence[str] = INSTANTS,
) -> Run:
    """The run ``number`` (from 0) of a plan. Raises ValueError where a kind cannot be had.

    Runs of the first of ``processes`` come between those of the others, for they are the quick ones.
    """
    draw = random.Random(f"{seed}/{number}")
    first, *others = processes
    counts = [count for other in others for count in (first, other)] + [first]
    count = counts[number % len(counts)]
    # A process that hangs is noticed by others alone.
    possible = [kind for kind in kinds if kind != STOP or count > 1]
    if not possible:
        raise ValueError("a stopped process is named by others: choose --processes of at least 2 for --kinds=stop")
    order = [instant for instant in _BEFORE_THE_END if instant in instants]
    draw.shuffle(order)
    order += [END] if END in instants else []
    faults = tuple(
        Fault(
            kind=draw.choice(possible),
            instant=instant,
            rank=draw.randrange(count),
            nth=draw.randint(1, 6 if instant == STEP else 2),
            share=round(draw.random(), 4),
            is_patient=draw.random() < 0.5,
        )
        for instant in order
    )
    return Run(seed, number, count, faults)
