"""The record of faults: a line of JSON each, added to by every go, and what it says in sum."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from tests.faults.plan import INSTANTS, KILL, KINDS, STOP, TERM

# What became of the run of a fault: it ended as an undisturbed one, or did not, or did not start again.
EQUAL, DIFFERS, FAILED, UNFINISHED = "equal", "differs", "failed restart", "unfinished"


@dataclasses.dataclass(frozen=True)
class Line:
    """A fault that was done, and what came of it; ``instant`` is the observed one, ``planned`` the other."""

    code: str  # version of the code
    seed: int
    run: int
    index: int
    kind: str
    processes: int
    rank: int
    planned: str
    instant: str
    in_save: bool
    step: int
    outcome: str
    statuses: tuple[int | None, ...] = ()
    seconds: float = 0.0
    wrong: str = ""
    difference: float = 0.0


def read(path: pathlib.Path) -> list[Line]:
    """All lines of a record, none if there is no file. Raises ValueError for what is not one."""
    lines = path.read_text().splitlines() if path.exists() else []
    try:
        return [Line(**json.loads(line)) for line in lines]
    except TypeError as error:
        raise ValueError(f"{path} is no record of faults: {error}") from error


def add(path: pathlib.Path, lines: Iterable[Line]) -> None:
    """Add lines, each of which leaves out what is as usual."""
    usual = {field.name: field.default for field in dataclasses.fields(Line)}
    with path.open("a") as file:
        for line in lines:
            words = dataclasses.asdict(line)
            file.write(json.dumps({name: word for name, word in words.items() if word != usual[name]}) + "\n")


def next_run(lines: Iterable[Line], seed: int) -> int:
    """The first run of the seed's plan that no line is of."""
    return max((line.run + 1 for line in lines if line.seed == seed), default=0)


def summary(lines: list[Line]) -> dict[str, Any]:
    """The figures of a record, as JSON."""
    kills = [line for line in lines if line.kind == KILL]
    terms = [line for line in lines if line.kind == TERM]
    stops = [line for line in lines if line.kind == STOP]
    runs = {(line.seed, line.run): line for line in lines}.values()
    return {
        "kills": len(kills),
        "kills_in_save": sum(line.in_save for line in kills),
        "mismatches": sum(line.outcome == DIFFERS for line in runs),
        "failed_restarts": sum(line.outcome == FAILED for line in lines),
        "max_difference": max((line.difference for line in lines), default=0.0),
        "kills_of_rank_0": sum(line.rank == 0 for line in kills),
        "kills_that_others_waited_on_after": sum(bool(line.wrong) for line in kills),
        "kills_by_instant": _count(line.instant for line in kills),
        "kills_by_processes": _count(line.processes for line in kills),
        "term": {"sent": len(terms), "saved_and_left_in_time": sum(not line.wrong for line in terms)},
        "stop": {"stopped": len(stops), "named_in_time": sum(not line.wrong for line in stops)},
        "runs": len(runs),
        "equal_runs": sum(line.outcome == EQUAL for line in runs),
    }


def _count(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(collections.Counter(values).items())}


def report(lines: list[Line]) -> str:
    """Tables of a record: for each kind, faults by instant and by number of processes."""
    parts = []
    for kind in KINDS:
        own = [line for line in lines if line.kind == kind]
        if not own:
            continue
        counts = sorted({line.processes for line in own})
        table = [[kind, *(f"{count} process{'es' * (count > 1)}" for count in counts), "all", "in a save", "rank 0"]]
        for instant in (*INSTANTS, "all"):
            rows = [line for line in own if instant in ("all", line.instant)]
            cells = [sum(line.processes == count for line in rows) for count in counts]
            cells += [len(rows), sum(line.in_save for line in rows), sum(line.rank == 0 for line in rows)]
            table.append([instant, *map(str, cells)])
        parts.append(
            "\n".join("| " + " | ".join(row) + " |" for row in [table[0], ["---"] * len(table[0]), *table[1:]])
        )
        wrong = [line for line in own if line.wrong or line.outcome != EQUAL]
        parts.append(
            f"{len(own) - len(wrong)} of {len(own)} as expected, in runs that ended bit for bit as undisturbed ones."
        )
        parts += [
            f"- run {line.run}, fault {line.index}, {line.instant}: {line.outcome} {line.wrong}" for line in wrong
        ]
    return "\n\n".join(parts)
