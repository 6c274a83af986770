"""``dfjax`` as a job's Python calls it, which takes its time from a step on when it is started for the first time.

    program.py STEP SECONDS -m dfjax.cli.main train ...

Each step after STEP takes SECONDS longer, so that a test can disturb the run meanwhile. No number is touched.
"""

import os
import sys
import time

from dfjax.core import signals

if __name__ == "__main__":
    # As the command itself does, before libraries are loaded.
    signals.note()

from dfjax.cli import main
from dfjax.runtime import heartbeats


def slow_down(first: int, seconds: float) -> None:
    note = heartbeats.note

    def slow(phase: str, step: int | None = None, *, slow: bool = False) -> None:
        note(phase, step, slow=slow)
        if phase == "stepping" and heartbeats.NOW.step >= first:
            time.sleep(seconds)

    heartbeats.note = slow


if __name__ == "__main__":
    _, step, pause, _, _, *arguments = sys.argv
    if "SLURM_RESTART_COUNT" not in os.environ:
        slow_down(int(step), float(pause))
    main.run(["dfjax", *arguments])
