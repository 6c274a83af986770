"""python -m tests.faults --kills=1000 --seed=0 --processes=1,2,4 [--record=FILE.jsonl]

Kills real training runs and compares what they end in with undisturbed ones. README.md beside this file says more.
"""

import argparse
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from concurrent import futures

from tests.faults import plan, record
from tests.faults.campaign import Campaign

_HERE = pathlib.Path(__file__).parent


def main() -> None:
    options = _options()
    path = options.record
    lines = record.read(path)
    if options.report:
        print(record.report(lines))
        return
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("tests.faults").setLevel(logging.INFO)
    logging.getLogger("absl").setLevel(logging.ERROR)
    # Leave by the usual way, which ends the processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="dfjax-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"logs of what goes wrong: {folder}", file=sys.stderr)
    campaign = Campaign(folder, options.seed, _version(), options.kinds)

    def play(number: int) -> None:
        found = campaign.play(plan.run(options.seed, number, options.kinds, options.processes, options.instants))
        record.add(path, found)
        lines.extend(found)

    first = number = record.next_run(lines, options.seed)
    with futures.ThreadPoolExecutor(options.parallel) as pool:
        waiting: set[futures.Future] = set()
        while _done(lines, options.kinds) < options.kills or waiting:
            while len(waiting) < options.parallel and _done(lines, options.kinds) < options.kills:
                waiting.add(pool.submit(play, number))
                number += 1
            done, waiting = futures.wait(waiting, return_when=futures.FIRST_COMPLETED)
            for one in done:
                one.result()
            print(f"{_done(lines, options.kinds)} of {options.kills}, {number - first} runs", file=sys.stderr)
    found = record.summary(lines)
    print(json.dumps(found))
    sys.exit(1 if found["mismatches"] or found["failed_restarts"] else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)

    def names(words: str) -> list[str]:
        return words.split(",")

    parser.add_argument("--kills", type=int, default=12, help="faults (of the kinds) that the record is to hold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=lambda words: [int(word) for word in words.split(",")], default=[1, 2, 4])
    parser.add_argument("--kinds", type=names, default=[plan.KILL], help=",".join(plan.KINDS))
    parser.add_argument("--instants", type=names, default=list(plan.INSTANTS), help=",".join(plan.INSTANTS))
    parser.add_argument("--record", type=pathlib.Path, default=_HERE / "record.jsonl", help="file that is added to")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--folder", type=pathlib.Path, help="for work directories and logs; default: a new one")
    parser.add_argument("--report", action="store_true", help="print the tables of the record, and run nothing")
    options = parser.parse_args()
    for given, known in ((options.kinds, plan.KINDS), (options.instants, plan.INSTANTS)):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    if plan.DISK in options.kinds and os.geteuid():
        parser.error("a full disk is a file system of its own, which only root can mount: leave disk out of --kinds")
    return options


def _done(lines: list[record.Line], kinds: list[str]) -> int:
    return sum(line.kind in kinds for line in lines)


def _version() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_HERE, capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


if __name__ == "__main__":
    main()
