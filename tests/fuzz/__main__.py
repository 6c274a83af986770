"""python -m tests.fuzz --minutes=20 --seed=0 [--targets=pictures,records]

Gives hostile pictures, records, captions, tokenizer files, configs, checkpoints, weights and data set descriptions to
dfjax, target after target until the time is over, and ends with one JSON line. Exit status 1 if any of them was met
otherwise than by use or by a documented error. A crash of the interpreter counts as one: inputs are tried in another
process.
"""

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import time

from tests.fuzz import engine, targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default=",".join(targets.TARGETS))
    options = parser.parse_args()
    names = options.targets.split(",")
    counts = {name: engine.Round() for name in names}
    failures: list[dict[str, str | int]] = []
    started, seed = time.time(), options.seed * 1_000_000
    until = started + 60 * options.minutes
    while time.time() < until:
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=engine.work, args=(there, names, seed, until))
        process.start()
        there.close()
        name = ""
        try:
            while True:
                name, seed, done = here.recv()
                if done is None:
                    continue
                counts[name].inputs += done.inputs
                counts[name].used += done.used
                counts[name].slowest_seconds = max(counts[name].slowest_seconds, done.slowest_seconds)
                if done.failure:
                    failures.append({"target": name, "seed": seed})
                    print(f"== {name}, seed {seed}\n{done.failure}", file=sys.stderr, flush=True)
        except EOFError:
            process.join()
        if not name:
            sys.exit("the process that tries the inputs does not start")
        if process.exitcode:
            how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"status {process.exitcode}"
            failures.append({"target": name, "seed": seed, "died": how})
            print(f"== {name}, seed {seed}: the process died ({how})", file=sys.stderr, flush=True)
        # Another process goes on behind the round that ended this one, and with the next target.
        seed += 1
        names = names[names.index(name) + 1 :] + names[: names.index(name) + 1]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(
        json.dumps(
            {
                "seed": options.seed,
                "minutes": round((time.time() - started) / 60, 2),
                "inputs": sum(count.inputs for count in counts.values()),
                "by_target": {name: count.inputs for name, count in counts.items()},
                "used": {name: count.used for name, count in counts.items()},
                "slowest_seconds": {name: round(count.slowest_seconds, 2) for name, count in counts.items()},
                "peak_mib": peak,
                "failures": failures,
            }
        )
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
